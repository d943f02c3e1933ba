"""Low-rank adapters (LoRA) in the backbone, through peft."""

from __future__ import annotations

import copy
import importlib
from dataclasses import dataclass
from typing import Any

from torch import nn

from acl_lightning.encoders.multi_exit import MultiExitEncoder
from acl_lightning.errors import UserError


@dataclass(frozen=True)
class LoRASettings:
    """Settings of low-rank adapters: `W x + alpha / rank * B A x`, with W frozen (Hu et al., ICLR 2022).

    Args:
        rank: Number of rows of A and of columns of B.
        alpha: Scale of the adapters, divided by `rank`.
        dropout: Dropout probability of the inputs of the adapters, in [0, 1).
        target_modules: Names of the linear modules that get an adapter, or ends of their dotted names such as `query`
            or `attention.output.dense`; null: all linear modules of the layers.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: list[str] | None = None

    def check(self) -> None:
        """Raise `UserError` for a value out of its range."""
        ranges: dict[str, tuple[bool, str, str]] = {
            "rank": (self.rank >= 1, "an integer >= 1", "8"),
            "alpha": (self.alpha > 0, "a number > 0", "16"),
            "dropout": (0 <= self.dropout < 1, "a probability in [0, 1)", "0"),
            "target_modules": (self.target_modules != [], "names of modules, or null", "null"),
        }
        for name, (valid, expected, default) in ranges.items():
            if not valid:
                raise UserError(
                    f"lora.{name} to be {expected}",
                    f"{getattr(self, name)}",
                    f"Set model.encoder.lora.{name} to {default} (the default).",
                )


def add_adapters(encoder: MultiExitEncoder, settings: LoRASettings) -> None:
    """Add adapters to the linear modules of the backbone's layers, and freeze everything else in the backbone.

    The output does not change before training, since B is zero. A is drawn from torch's global generator.

    Args:
        encoder: Encoder whose backbone is changed in place.
        settings: Settings of the adapters.

    Raises:
        UserError: peft is not installed, or the names match no linear module.
    """
    settings.check()
    peft = _peft()
    modules = {
        name: module
        for name, module in encoder.backbone.named_modules()
        if isinstance(module, nn.Linear) and encoder.backbone.layers_of(f"{name}.weight") != (0,)
    }
    wanted = settings.target_modules
    targets = [name for name in modules if wanted is None or any(_matches(name, target) for target in wanted)]
    unused = [target for target in wanted or [] if not any(_matches(name, target) for name in modules)]
    if unused or not targets:
        names = sorted({name.rpartition(".")[2] for name in modules})
        raise UserError(
            f"target_modules among the linear modules of the backbone: {', '.join(names)}",
            ", ".join(repr(target) for target in unused) or "none",
            "Set model.encoder.lora.target_modules to some of them, or to null for all.",
        )
    config = peft.LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=targets, bias="none"
    )
    peft.inject_adapter_in_model(config, encoder.backbone)


def merged(encoder: MultiExitEncoder) -> MultiExitEncoder:
    """Return the encoder with its adapters added to the weights: a copy, or the encoder itself without adapters."""
    if not _adapters(encoder):
        return encoder
    plain = copy.deepcopy(encoder)
    for name, layer in _adapters(plain).items():
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(plain.get_submodule(parent), child, layer.get_base_layer())
    return plain.requires_grad_(True)


def _adapters(encoder: MultiExitEncoder) -> dict[str, Any]:
    """Return the modules with an adapter by name. Without adapters, peft is not imported."""
    if not any("lora_" in name for name, _ in encoder.backbone.named_parameters()):
        return {}
    kind = importlib.import_module("peft.tuners.lora").LoraLayer
    return {name: module for name, module in encoder.named_modules() if isinstance(module, kind)}


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _peft() -> Any:
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise UserError(
            "peft for model.encoder.lora", "none installed", "Install it: pip install 'acl-lightning[lora]'"
        ) from error
