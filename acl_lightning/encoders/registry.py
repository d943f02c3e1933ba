"""Registry of backbone families, and loading of pretrained backbones."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

from acl_lightning.encoders.backbone import Backbone
from acl_lightning.encoders.families import (
    AlbertFamily,
    BertFamily,
    DebertaFamily,
    Dinov2Family,
    DistilBertFamily,
    ModernBertFamily,
    MPNetFamily,
    ViTFamily,
)
from acl_lightning.errors import UserError
from acl_lightning.pretrained import is_hub_id, resolve_pretrained


class BackboneFactory(Protocol):
    """Factory of a `Backbone` from a Hugging Face model: a subclass of `Backbone`, or a function."""

    def __call__(
        self,
        model: Any,
        *,
        pooler_is_pretrained: bool = True,
        gradient_checkpointing: bool = False,
        compile_layers: bool = False,
    ) -> Backbone:
        """Return the backbone that steps `model`, which `AutoModel` has built and which may be changed in place.

        Args:
            model: The Hugging Face model, with its weights. `model.config` is its configuration.
            pooler_is_pretrained: Whether the model's pooler came with the checkpoint.
            gradient_checkpointing: See `Backbone`.
            compile_layers: See `Backbone`.
        """


#: `model_type` of a Hugging Face configuration -> factory of backbones. See `register_backbone`.
ADAPTERS: dict[str, BackboneFactory] = {
    "bert": BertFamily,
    "roberta": BertFamily,
    "xlm-roberta": BertFamily,
    "electra": BertFamily,
    "albert": AlbertFamily,
    "distilbert": DistilBertFamily,
    "mpnet": MPNetFamily,
    "deberta-v2": DebertaFamily,
    "modernbert": ModernBertFamily,
    "vit": ViTFamily,
    "deit": ViTFamily,
    "dinov2": Dinov2Family,
}


def register_backbone(model_type: str, factory: BackboneFactory) -> None:
    """Make a family of encoders usable as `EncoderConfig.backbone`, for training, sweeps, prediction and export.

    Register before the model is built. On the command line, call this function in a module of your package and name the
    module with `--trust MODULE`, also in `fit`.

    Args:
        model_type: `model_type` in the `config.json` of the family, as transformers' `AutoConfig` knows it. A family
            that transformers does not have is first registered with its `AutoConfig` and `AutoModel`.
        factory: Factory of a `Backbone` from a loaded model, usually a subclass of `Backbone`. See that class for the
            contract, and compare its hidden states with those of the Hugging Face model in a test.

    Raises:
        UserError: Another factory is registered for the type.

    Example:
        Let `MyBackbone` step the layers of models of the type `my-bert`::

            from acl_lightning.encoders import EncoderConfig, register_backbone

            register_backbone("my-bert", MyBackbone)
            encoder = EncoderConfig(backbone="path/to/my-bert").build(num_labels=2)
    """
    known = ADAPTERS.get(model_type)
    if known is not None and _name(known) != _name(factory):
        raise UserError(
            f"a backbone type other than {', '.join(ADAPTERS)}",
            f"{model_type!r}",
            "Use another model_type for the family.",
        )
    ADAPTERS[model_type] = factory  # a notebook cell that runs again replaces its own class


def _name(factory: BackboneFactory) -> str:
    kind = type(factory)
    return f"{factory.__module__}.{getattr(factory, '__qualname__', kind.__qualname__)}"


def load_backbone(
    source: str | os.PathLike[str],
    *,
    gradient_checkpointing: bool = False,
    compile_layers: bool = False,
    random_init: bool = False,
) -> Backbone:
    """Load a pretrained encoder, in float32, without running code that its author wrote.

    Args:
        source: Pretrained model: `package:MODULE/SUBDIR`, a directory, or a hub id; see `resolve_pretrained`.
        gradient_checkpointing: See `Backbone`.
        compile_layers: See `Backbone`.
        random_init: Whether to use only the architecture, with weights drawn from torch's global generator.

    Raises:
        UserError: `source` does not exist, its type has no factory, it is a decoder, or weights of the encoder are
            missing or have other shapes. A missing pooler is no error.
    """
    path = resolve_pretrained(source)
    source = source if isinstance(source, str) else path
    config = _load_config(source, path)
    adapter = _adapter(source, config)
    if random_init:
        model, missing = AutoModel.from_config(config, dtype=torch.float32), ["pooler"]
    else:
        model, missing = _load_weights(source, path, config)
    lost = [name for name in missing if not name.startswith("pooler")]
    if lost:
        raise UserError(
            f"all weights of the encoder in {source!r}",
            f"{len(lost)} missing, {lost[0]!r} first",
            "Save the model again with save_pretrained, or set model.encoder.backbone to another model.",
        )
    has_pooler = not any(name.startswith("pooler") for name in missing)
    return adapter(
        model,
        pooler_is_pretrained=has_pooler,
        gradient_checkpointing=gradient_checkpointing,
        compile_layers=compile_layers,
    )


def _adapter(source: str, config: Any) -> BackboneFactory:
    if config.model_type not in ADAPTERS:
        raise UserError(
            f"a backbone of type {', '.join(ADAPTERS)}",
            f"{config.model_type!r} in {source!r}",
            "Set model.encoder.backbone to another model, or add the type with register_backbone.",
        )
    if getattr(config, "is_decoder", False):
        raise UserError("an encoder", f"a decoder in {source!r}", "Set is_decoder to false in its config.json.")
    return ADAPTERS[config.model_type]


def _load_config(source: str, path: str) -> Any:
    with _explained(source):
        return AutoConfig.from_pretrained(path, trust_remote_code=False)


def _load_weights(source: str, path: str, config: Any) -> tuple[Any, list[str]]:
    """Return the model and the names of weights that are missing in the checkpoint."""
    with _explained(source), _quiet():
        model, report = AutoModel.from_pretrained(
            path, config=config, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    return model, sorted(report["missing_keys"])


@contextlib.contextmanager
def _explained(source: str) -> Iterator[None]:
    """Convert errors of transformers about files, connections and shapes into a `UserError`."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        remedy = "Set model.encoder.backbone to a directory written by save_pretrained."
        if is_hub_id(source):
            remedy = (
                "Without a network, set model.encoder.backbone to a directory or package:MODULE/SUBDIR, or download "
                "the model into the Hugging Face cache (HF_HOME) and set HF_HUB_OFFLINE=1."
            )
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"to load the backbone {source!r}", reason, remedy) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Disable progress bars and the report on keys, which `load_backbone` evaluates."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
