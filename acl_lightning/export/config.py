"""Configuration of an exported model: its transformers class, and its values for a trained encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.configuration_auto import AutoConfig

from acl_lightning.encoders import EXIT_ROWS, MultiExitEncoder
from acl_lightning.exits import stored_temperatures
from acl_lightning.export.served_points import served_points, sweep_report
from acl_lightning.runs import RunResult


class MultiExitConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers has no types
    """Configuration of an exported multi-exit model.

    Attributes:
        backbone_config: Configuration of the backbone, or a dictionary of it; loading needs no access to a hub.
        exit_layers: Layers that have an exit, counted from 1, ascending.
        exit_row: Name of the exit row, a key of `acl_lightning.encoders.EXIT_ROWS`.
        head_pooler: Whether the heads have a tanh pooler.
        head_dropout: Dropout probability before the classifiers, used in training only.
        separate_label_embeddings: Whether label embeddings are separate parameters instead of the classifiers' weights.
        learnt_gate: Whether the encoder has a learnt gate.
        operating_points: Name -> `criterion` (its `name` and `settings`), `threshold`, and `measured`.
        operating_point: Name of the operating point that `forward` uses. None: full depth.
        recommended_point: Name of the point that the run highlights; the demo opens at it. None: there is none.
        temperatures: Temperature of each exit. The model divides its logits by them, so that their softmax is
            calibrated. None: the run was not calibrated, and the softmax of the logits is a raw confidence.
        max_length: Number of tokens that texts are truncated to, as in training. None: the backbone's number of
            positions.
        task_name: Name of the task or data that the model was trained on.
        text_columns: Names of the texts of an input: one name, or two for pairs; none for a model of images.
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
        """Build the backbone's configuration from a dictionary."""
        if isinstance(self.backbone_config, dict):
            self.backbone_config = AutoConfig.for_model(**self.backbone_config)
        super().__post_init__(**kwargs)

    @property
    def reads_images(self) -> bool:
        """Whether the inputs are images instead of texts."""
        return not self.text_columns


def exported_config(
    encoder: MultiExitEncoder,
    label_names: Sequence[str],
    text_columns: Sequence[str],
    task_name: str,
    result: RunResult,
    max_length: int | None = None,
) -> MultiExitConfig:
    """Return the configuration from which `MultiExitForSequenceClassification` builds this encoder.

    Args:
        encoder: Encoder of texts or images.
        label_names: Names of the classes; empty for a regression, whose output is named `score`.
        text_columns: Names of the texts of an input: one name, or two for pairs; none for images.
        task_name: Name of the task or data that the model was trained on.
        result: Result of the run, for its operating points and temperatures.
        max_length: Number of tokens that training truncated texts to. None: the backbone's number of positions.

    Raises:
        UserError: The result is damaged.
    """
    head: Any = encoder.heads[0]
    row: Any = encoder.exit_rows[0]
    backbone: Any = encoder.backbone
    row_names = {kind: name for name, kind in EXIT_ROWS.items()}
    report = sweep_report(result)
    temperatures_E = stored_temperatures(result.report, encoder.num_exits)
    points = {} if report is None else served_points(report.recommended)
    highlighted = None if report is None else report.highlighted
    return MultiExitConfig(
        backbone_config=backbone.model.config.to_dict(),
        exit_layers=list(encoder.exit_layers),
        exit_row=row_names[type(row)],
        head_pooler=head.pooler is not None,
        head_dropout=head.dropout.p,
        separate_label_embeddings=encoder.label_embeddings is not None,
        learnt_gate=encoder.gate is not None,
        operating_points=points,
        recommended_point=highlighted if highlighted in points else None,
        temperatures=None if temperatures_E is None else list(temperatures_E),
        max_length=min(max_length or backbone.max_tokens, backbone.max_tokens),
        task_name=task_name,
        text_columns=list(text_columns),
        id2label=dict(enumerate(label_names or ["score"])),
        label2id={name: number for number, name in enumerate(label_names or ["score"])},
        problem_type="single_label_classification" if label_names else "regression",
    )
