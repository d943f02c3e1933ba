"""Exit rows: the vector that the head of an exit sees.

An exit row passes through the exit's layer reading the keys and values of all tokens, and no token reads it back: so it
changes nothing for the tokens, and it can be evaluated before the rest of its layer. `cls` is what DeeBERT, PABEE and
their successors do; `mean_row` and `probe` are ours; `mean_pool` is the usual mean pooling, the reference for quality.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from acl_lightning.encoders.backbone import Backbone, TokenState


class ExitRow(nn.Module, ABC):
    """How one exit reads its layer."""

    def __init__(self, width: int) -> None:
        """Rows without parameters ignore `width`, the backbone's."""
        super().__init__()

    @abstractmethod
    def query(self, state: TokenState) -> Tensor | None:
        """The row (B, 1, D) that enters the layer whose input is `state`; None if the row needs the whole layer."""

    @abstractmethod
    def read(
        self, backbone: Backbone, layer: int, state: TokenState, *, advance: bool
    ) -> tuple[Tensor, TokenState | None]:
        """The exit row (B, D) after layer `layer` (0-based), and the tokens after that layer.

        Without `advance` nobody needs those tokens: they are None, and where the kind allows it only the row passes
        through the layer.
        """


class ClsRow(ExitRow):
    """The row of the first token ([CLS]): equal to the Hugging Face hidden state `[:, 0]`."""

    def query(self, state: TokenState) -> Tensor:
        """The first token."""
        return state.hidden_BSD[:, :1]

    def read(
        self, backbone: Backbone, layer: int, state: TokenState, *, advance: bool
    ) -> tuple[Tensor, TokenState | None]:
        """See `ExitRow.read`."""
        if not advance:
            return backbone.read(layer, self.query(state), state)[:, 0], None
        following = backbone.layer(layer, state)
        return following.hidden_BSD[:, 0], following


class SideRow(ExitRow):
    """A row beside the tokens."""

    @abstractmethod
    def query(self, state: TokenState) -> Tensor:
        """The row (B, 1, D) that enters the layer."""

    def read(
        self, backbone: Backbone, layer: int, state: TokenState, *, advance: bool
    ) -> tuple[Tensor, TokenState | None]:
        """See `ExitRow.read`.

        The row travels with the tokens, as one more of them that nobody reads. Only where it learns and they do not
        (a probe on a frozen backbone), it passes through the layer alone: else autograd would keep a graph of the
        tokens through this layer and all later ones.
        """
        query_B1D = self.query(state)
        if not advance:
            return backbone.read(layer, query_B1D, state)[:, 0], None
        if query_B1D.requires_grad and not state.hidden_BSD.requires_grad:
            return backbone.read(layer, query_B1D, state)[:, 0], backbone.layer(layer, state)
        joint = backbone.read(layer, torch.cat([state.hidden_BSD, query_B1D], dim=1), state)
        tokens_BSD, row_B1D = torch.split(joint, [state.hidden_BSD.shape[1], 1], dim=1)
        # Three projections read the tokens next: one copy now, or a copy in each of them.
        return row_B1D[:, 0], TokenState(tokens_BSD.contiguous(), state.mask_BS)


class MeanRow(SideRow):
    """The mean of the layer's input tokens, passed through the layer. No parameter."""

    def query(self, state: TokenState) -> Tensor:
        """The masked mean of the tokens."""
        return state.mean_BD().unsqueeze(1)


class ProbeRow(SideRow):
    """A learnt vector per exit, passed through the layer. Starts from a normal distribution of deviation 0.02."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.vector_D = nn.Parameter(torch.empty(width).normal_(std=0.02))

    def query(self, state: TokenState) -> Tensor:
        """The vector, for every sample."""
        return self.vector_D.repeat(state.hidden_BSD.shape[0], 1, 1)


class MeanPool(ExitRow):
    """The mean of the layer's output tokens; needs the whole layer."""

    def query(self, state: TokenState) -> None:
        """None: there is no row to start from."""

    def read(
        self, backbone: Backbone, layer: int, state: TokenState, *, advance: bool
    ) -> tuple[Tensor, TokenState | None]:
        """See `ExitRow.read`."""
        following = backbone.layer(layer, state)
        return following.mean_BD(), following if advance else None


#: Name in configurations -> class.
EXIT_ROWS: dict[str, type[ExitRow]] = {"cls": ClsRow, "mean_row": MeanRow, "probe": ProbeRow, "mean_pool": MeanPool}
