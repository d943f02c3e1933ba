"""The configuration of an exported model, as transformers knows it."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.configuration_auto import AutoConfig


class MultiExitConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers has no types
    """Configuration of an exported multi-exit model.

    Attributes:
        backbone_config: the backbone's own configuration (or a dictionary of it), so that no hub is asked for it.
        exit_layers: layers that have an exit, counted from 1, ascending.
        exit_row: what an exit reads, a key of `acl_lightning.encoders.EXIT_ROWS`.
        head_pooler: whether heads have a tanh pooler.
        head_dropout: of what the classifiers see.
        separate_label_embeddings: whether label embeddings are parameters of their own.
        learnt_gate: whether the encoder has a learnt gate.
        operating_points: name -> `criterion` (its `name` and `settings`), `threshold`, and `measured`.
        operating_point: the name of the one in force; None: full depth.
        recommended_point: name of the point that the run highlights; the demo opens at it. None: there is none.
        temperatures: temperature of each exit, by which the model divides its logits, so that their softmax is
            calibrated; None: the run was not calibrated, and the softmax of the logits is a raw confidence.
        max_length: tokens that a text is truncated to, as in training; None: as many as the backbone has positions for.
        task_name: what it was trained on.
        text_columns: names of the texts that an input is made of: one, or two for pairs.
    """

    model_type = "acl_multi_exit"
    sub_configs: ClassVar[dict[str, Any]] = {"backbone_config": AutoConfig}

    backbone_config: Any = None
    exit_layers: list[int] | tuple[int, ...] = ()
    exit_row: str = "mean_row"
    head_pooler: bool = True
    head_dropout: float = 0.1
    separate_label_embeddings: bool = False
    learnt_gate: bool = False
    operating_points: dict[str, Any] | None = None
    operating_point: str | None = None
    recommended_point: str | None = None
    temperatures: list[float] | tuple[float, ...] | None = None
    max_length: int | None = None
    task_name: str | None = None
    text_columns: list[str] | tuple[str, ...] = ("sentence",)

    def __post_init__(self, **kwargs: Any) -> None:
        """Build the backbone's configuration from plain values, and make the model class known."""
        if isinstance(self.backbone_config, dict):
            self.backbone_config = AutoConfig.for_model(**self.backbone_config)
        super().__post_init__(**kwargs)
        # Not at import: the model's imports may be what is importing transformers right now.
        importlib.import_module("acl_lightning.export.model")


AutoConfig.register(MultiExitConfig.model_type, MultiExitConfig, exist_ok=True)
