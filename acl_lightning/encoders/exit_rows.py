"""Exit rows: the inputs of the heads of the exits.

An exit row passes through the exit's layer and attends to all tokens, while no token attends to it. It therefore does
not change the tokens, and it can be evaluated before the rest of its layer. `cls` is used by DeeBERT, PABEE and their
successors; `mean_row` and `probe` are ours; `mean_pool` is the usual mean pooling, the reference for quality.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from acl_lightning.encoders.backbone import Backbone, TokenState


class ExitRow(nn.Module, ABC):
    """Computation of the input of an exit's head from the layer of the exit."""

    def __init__(self, width: int) -> None:
        """Rows without parameters ignore `width`, the width of the backbone."""
        super().__init__()

    @abstractmethod
    def query(self, state: TokenState) -> Tensor | None:
        """Return the row (B, 1, D) that enters the layer with input `state`; None if it needs the whole layer."""

    @abstractmethod
    def read(
        self, backbone: Backbone, layer: int, state: TokenState, *, advance: bool
    ) -> tuple[Tensor, TokenState | None]:
        """Return the exit row (B, D) after layer `layer` (0-based) and `exit_norm`, and the tokens after that layer.

        Without `advance` the tokens are not needed: they are None, and if possible only the row passes through the
        layer.
        """


class ClsRow(ExitRow):
    """Row of the first token ([CLS]), equal to the Hugging Face hidden state `[:, 0]`."""

    def query(self, state: TokenState) -> Tensor:
        """Return the first token."""
        return state.hidden_BSD[:, :1]

    def read(
        self, backbone: Backbone, layer: int, state: TokenState, *, advance: bool
    ) -> tuple[Tensor, TokenState | None]:
        """Return the exit row and the tokens after the layer, see `ExitRow.read`."""
        if not advance:
            return backbone.exit_norm(backbone.read(layer, self.query(state), state)[:, 0]), None
        following = backbone.layer(layer, state)
        return backbone.exit_norm(following.hidden_BSD[:, 0]), following


class SideRow(ExitRow):
    """Row in addition to the tokens."""

    @abstractmethod
    def query(self, state: TokenState) -> Tensor:
        """Return the row (B, 1, D) that enters the layer."""

    def read(
        self, backbone: Backbone, layer: int, state: TokenState, *, advance: bool
    ) -> tuple[Tensor, TokenState | None]:
        """Return the exit row and the tokens after the layer, see `ExitRow.read`.

        The row passes through the layer together with the tokens, none of which attends to it. If the row requires a
        gradient and the tokens do not (a probe on a frozen backbone), it passes through the layer separately: otherwise
        autograd would keep a graph of the tokens through this layer and all later layers.
        """
        query_B1D = self.query(state)
        if not advance:
            return backbone.exit_norm(backbone.read(layer, query_B1D, state)[:, 0]), None
        if query_B1D.requires_grad and not state.hidden_BSD.requires_grad:
            row_B1D = backbone.read(layer, query_B1D, state)
            return backbone.exit_norm(row_B1D[:, 0]), backbone.layer(layer, state)
        joint = backbone.read(layer, torch.cat([state.hidden_BSD, query_B1D], dim=1), state)
        tokens_BSD, row_B1D = torch.split(joint, [state.hidden_BSD.shape[1], 1], dim=1)
        # Three projections use the tokens next: a single copy here, or a copy in each of them.
        return backbone.exit_norm(row_B1D[:, 0]), TokenState(tokens_BSD.contiguous(), state.mask_BS)


class MeanRow(SideRow):
    """Mean of the input tokens of the layer, passed through the layer. Without parameters."""

    def query(self, state: TokenState) -> Tensor:
        """Return the masked mean of the tokens."""
        return state.mean_B1D()


class ProbeRow(SideRow):
    """Learnt vector per exit, passed through the layer. Initialised from a normal distribution with deviation 0.02."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.vector_D = nn.Parameter(torch.empty(width).normal_(std=0.02))

    def query(self, state: TokenState) -> Tensor:
        """Return the vector, repeated for every sample."""
        return self.vector_D.repeat(state.hidden_BSD.shape[0], 1, 1)


class MeanPool(ExitRow):
    """Mean of the output tokens of the layer; needs the whole layer."""

    def query(self, state: TokenState) -> None:
        """Return None: the row needs the whole layer."""

    def read(
        self, backbone: Backbone, layer: int, state: TokenState, *, advance: bool
    ) -> tuple[Tensor, TokenState | None]:
        """Return the exit row and the tokens after the layer, see `ExitRow.read`."""
        following = backbone.layer(layer, state)
        normed = TokenState(backbone.exit_norm(following.hidden_BSD), following.mask_BS)
        return normed.mean_BD(), following if advance else None


#: Name in configurations -> class.
EXIT_ROWS: dict[str, type[ExitRow]] = {"cls": ClsRow, "mean_row": MeanRow, "probe": ProbeRow, "mean_pool": MeanPool}
