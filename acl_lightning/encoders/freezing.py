"""Freezing of layers of the backbone, and the number of layers above a parameter."""

from __future__ import annotations

from acl_lightning.encoders.multi_exit import MultiExitEncoder
from acl_lightning.errors import UserError

#: Start of the names of the parameters of the backbone.
BACKBONE = "backbone."


def check_frozen_layers(frozen: int | list[int] | None) -> None:
    """Raise `UserError` unless the setting is None, a number of layers, or a list of distinct layers."""
    layers = [] if frozen is None else [frozen] if isinstance(frozen, int) else frozen
    if any(layer < 0 for layer in layers) or len(layers) != len({*layers}):
        raise UserError(
            "frozen_layers as a number of layers from 0, or as a list of distinct layers from 0 (0: the embeddings)",
            f"{frozen}",
            "Set model.encoder.frozen_layers to a number such as 2, to a list such as [0, 1, 2], or to null.",
        )


def freeze_layers(encoder: MultiExitEncoder, frozen: int | list[int]) -> None:
    """Freeze layers of the backbone: they are not trained, and their gradients are not compared.

    Their dropout stays active in training.

    Args:
        encoder: Encoder whose backbone is frozen in place.
        frozen: A number N: the embeddings and the layers 1 to N. A list: these layers, where 0 means the embeddings.

    Raises:
        UserError: A layer is above the depth of the backbone, or it shares parameters with a layer that is trained.
    """
    backbone, depth = encoder.backbone, encoder.depth
    layers = set(range(frozen + 1) if isinstance(frozen, int) else frozen)
    if max(layers, default=0) > depth:
        raise UserError(
            f"frozen_layers within the {depth} layers of the backbone",
            f"{frozen}",
            f"Set model.encoder.frozen_layers to {depth} or less, or to null.",
        )
    for name, parameter in backbone.named_parameters():
        users = set(backbone.layers_of(name))
        if users <= layers:
            parameter.requires_grad_(False)
        elif users & layers:
            raise UserError(
                f"frozen_layers with all or none of the layers {sorted(users)}, which share their parameters",
                f"{frozen}",
                f"Set model.encoder.frozen_layers to {min(users) - 1}, to {max(users)}, or to null.",
            )


def layers_above(encoder: MultiExitEncoder, name: str) -> int | None:
    """Return the number of computed layers above a parameter; None for parameters outside of the backbone.

    0 for the layer of the deepest exit, `num_layers` for the embeddings. A parameter that several layers share has
    the number of its deepest layer.
    """
    if not name.startswith(BACKBONE):
        return None
    deepest = encoder.backbone.layers_of(name.removeprefix(BACKBONE))[-1]
    return encoder.num_layers - min(deepest, encoder.num_layers)
