"""Base class of backbones that step the layers of a transformers model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from acl_lightning.encoders.backbone import Backbone, KeysValues, TokenState
from acl_lightning.encoders.compilation import compiled

#: Tensors that the layers of a family need in addition to hidden states, such as rotations or position biases.
Context = tuple[Tensor, ...]


class ModelBackbone(Backbone):
    """Hugging Face model, stepped through the submodules of its layers.

    A family is a subclass of `TextBackbone` or `ImageBackbone` and names the submodules in `blocks`, `project` and
    `pass_rows`. The last two are static and receive the layer as an argument, so that all layers share the graphs of
    `torch.compile`. Attention uses torch's fused kernel, whatever the attention setting of the model.

    The pooler of the model is removed: it only initialises the poolers of the exits.

    Args:
        model: Model that `AutoModel` has built; it becomes the submodule `model` and is changed in place.
        pooler_is_pretrained: Whether the pooler of the model has pretrained weights.
        gradient_checkpointing: See `Backbone`.
        compile_layers: See `Backbone`.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        pooler_is_pretrained: bool = True,
        gradient_checkpointing: bool = False,
        compile_layers: bool = False,
    ) -> None:
        super().__init__()
        pooler: Any = getattr(model, "pooler", None)
        if pooler is not None:
            model.register_module("pooler", None)
        # In a tuple it is no submodule: neither in parameters() nor in checkpoints.
        dense = getattr(pooler, "dense", pooler)
        self._pretrained_pooler = (dense,) if pooler is not None and pooler_is_pretrained else ()
        self.model: Any = model
        config: Any = model.config
        self.width = config.hidden_size
        self.depth = config.num_hidden_layers
        self.gradient_checkpointing = gradient_checkpointing
        self.compile_layers = compile_layers

    # -- what a family defines -------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """Modules of the layers."""

    def block(self, layer: int) -> nn.Module:
        """Return the module of layer `layer` (0-based)."""
        return self.blocks[layer]

    @staticmethod
    @abstractmethod
    def project(block: Any, hidden_BSD: Tensor, context: Context) -> KeysValues:
        """Project the tokens to the keys and values of a layer; `context` is that of `token_context`."""

    @staticmethod
    @abstractmethod
    def pass_rows(
        block: Any, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None, context: Context
    ) -> Tensor:
        """Pass R rows per sample (B, R, D) through a layer; `context` is that of `row_context`."""

    def token_context(self, layer: int, hidden_BSD: Tensor) -> Context:
        """Return the tensors that `project` needs at layer `layer`; empty for absolute positions."""
        return ()

    def row_context(self, layer: int, query_BRD: Tensor, num_tokens: int) -> Context:
        """Return the tensors that `pass_rows` needs at layer `layer`; empty for absolute positions."""
        return ()

    # -- the contract of Backbone ----------------------------------------------------------------------------------

    def keys_values(self, layer: int, state: TokenState) -> KeysValues:
        """Project the tokens to the keys and values of layer `layer` (0-based)."""
        return self.project(self.block(layer), state.hidden_BSD, self.token_context(layer, state.hidden_BSD))

    def rows(self, layer: int, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None) -> Tensor:
        """Pass R rows per sample (B, R, D) through layer `layer`: attention over the tokens, output, feed-forward."""
        context = self.row_context(layer, query_BRD, keys_values.keys_BHSd.shape[2])
        return self.pass_rows(self.block(layer), query_BRD, keys_values, mask_BS, context)

    def _read(self, layer: int, query_BRD: Tensor, state: TokenState) -> Tensor:
        whole = compiled(_layer) if self.compile_layers else _layer
        return whole(
            self.project,
            self.pass_rows,
            self.block(layer),
            query_BRD,
            state.hidden_BSD,
            state.mask_BS,
            self.token_context(layer, state.hidden_BSD),
            self.row_context(layer, query_BRD, state.hidden_BSD.shape[1]),
        )

    def pooler(self) -> nn.Linear | None:
        """Return the linear map of the pretrained pooler; None if the family or the checkpoint has none."""
        return self._pretrained_pooler[0] if self._pretrained_pooler else None

    def cut(self, num_layers: int) -> None:
        """Remove the layers above the first `num_layers`."""
        del self.blocks[num_layers:]


def _layer(
    project: Callable[[Any, Tensor, Context], KeysValues],
    pass_rows: Callable[[Any, Tensor, KeysValues, Tensor | None, Context], Tensor],
    block: Any,
    query_BRD: Tensor,
    hidden_BSD: Tensor,
    mask_BS: Tensor | None,
    token_context: Context,
    row_context: Context,
) -> Tensor:
    """Pass rows through a layer, which is an argument so that all layers share the compiled graphs."""
    return pass_rows(block, query_BRD, project(block, hidden_BSD, token_context), mask_BS, row_context)
