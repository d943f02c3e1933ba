"""Views: several forward passes of a batch with different dropout masks, as one larger batch."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from acl_lightning.encoders import MultiExitEncoder
from acl_lightning.errors import UserError


def repeat_samples(inputs: Mapping[str, Tensor], views: int) -> dict[str, Tensor]:
    """Repeat the samples of a batch, (B, ...) -> (views * B, ...), one view after the other.

    Dropout draws a mask per row, so a single forward pass gives all views.
    """
    return {name: tensor.repeat(views, *[1] * (tensor.ndim - 1)) for name, tensor in inputs.items()}


def check_dropout(encoder: MultiExitEncoder, num_views: int, *, frozen_backbone: bool) -> None:
    """Refuse several views of a model without dropout, which would be equal.

    Args:
        encoder: Multi-exit encoder.
        num_views: Number of views that the objective needs.
        frozen_backbone: Whether a stage of the training has a frozen backbone, without dropout.

    Raises:
        UserError: All dropout probabilities are 0, or those of the heads if the backbone is frozen.
    """
    part: nn.Module = encoder.heads if frozen_backbone else encoder
    if num_views > 1 and not any(isinstance(module, nn.Dropout) and module.p > 0 for module in part.modules()):
        raise UserError(
            f"dropout{' in the heads' if frozen_backbone else ''}, for an objective that compares {num_views} views",
            "none",
            "Set model.encoder.dropout to 0.1.",
        )
