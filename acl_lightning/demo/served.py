"""Model that the demo serves, loaded from a run or an export."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acl_lightning.encoders import MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, stored_temperatures
from acl_lightning.export import load_export, resolve_point, served_points
from acl_lightning.export.served_points import sweep_report
from acl_lightning.runs import RunResult, load_run, read_result
from acl_lightning.runs.checkpoints import find_checkpoint
from acl_lightning.runs.data_modules import text_data
from acl_lightning.runs.names import CONFIG


@dataclass(frozen=True)
class ServedModel:
    """Trained encoder with its tokenizer, label names and operating points.

    Attributes:
        encoder: Encoder in evaluation mode.
        tokenizer: Tokenizer of the backbone.
        label_names: Names of the classes; empty for a regression.
        text_columns: Names of the texts of an input: one name, or two for pairs.
        task_name: Name of the task, shown in the title.
        max_length: Number of tokens that texts are truncated to, as in training. None: the backbone's number of
            positions.
        points: Name -> criterion and threshold of each recommended operating point.
        recommended_point: Name of the point that the page shows first. None: the first point, or full depth.
        temperatures_E: Temperature of each exit. None: the run was not calibrated.
    """

    encoder: MultiExitEncoder
    tokenizer: Any
    label_names: tuple[str, ...]
    text_columns: tuple[str, ...]
    task_name: str
    max_length: int | None = None
    points: Mapping[str, tuple[Criterion, float]] = field(default_factory=dict)
    recommended_point: str | None = None
    temperatures_E: tuple[float, ...] | None = None

    @property
    def max_tokens(self) -> int:
        """Return the largest number of tokens of an input, special tokens included."""
        return min(self.max_length or self.encoder.backbone.max_tokens, self.encoder.backbone.max_tokens)


def load_served(directory: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None) -> ServedModel:
    """Load a run or an export.

    Args:
        directory: Directory of a run (with `config.yaml`) or of an export (with `config.json`).
        checkpoint: Checkpoint of a run: `best`, `last` or a file. None: the checkpoint that its result was measured on.

    Raises:
        UserError: `directory` is neither, a file in it is missing or damaged, or the model is one of images.
    """
    directory = Path(directory).expanduser()
    if (directory / CONFIG).is_file():
        return _served_run(directory, checkpoint)
    if not (directory / "config.json").is_file():
        raise UserError(
            f"a run or an export in {directory}",
            f"neither {CONFIG} nor config.json",
            "Give a directory that `fit` or `export` wrote.",
        )
    if checkpoint is not None:
        raise UserError("no checkpoint together with an export", f"{checkpoint!r}", "Remove --ckpt_path.")
    model, tokenizer = load_export(directory)
    config = model.config
    return ServedModel(
        encoder=model.encoder,
        tokenizer=tokenizer,
        label_names=() if config.problem_type == "regression" else tuple(config.id2label.values()),
        text_columns=tuple(config.text_columns),
        task_name=config.task_name or "model",
        max_length=config.max_length,
        points=_points(config.operating_points, model.encoder),
        recommended_point=config.recommended_point,
        temperatures_E=None if config.temperatures is None else tuple(config.temperatures),
    )


def _served_run(directory: Path, checkpoint: str | os.PathLike[str] | None) -> ServedModel:
    module, loaded = load_run(directory, checkpoint)
    data = text_data(loaded, directory)
    result = _measured_result(directory, checkpoint)
    report = None if result is None else sweep_report(result)
    return ServedModel(
        encoder=module.encoder,
        tokenizer=data.tokenizer,
        label_names=tuple(module.label_names),
        text_columns=tuple(data.info.text_columns),
        task_name=module.task_name,
        max_length=data.max_length,
        points={} if report is None else _points(served_points(report.recommended), module.encoder),
        recommended_point=None if report is None else report.highlighted,
        temperatures_E=None if result is None else stored_temperatures(result.report, module.encoder.num_exits),
    )


def _measured_result(directory: Path, checkpoint: str | os.PathLike[str] | None) -> RunResult | None:
    """Return the result of a run; None for a run that did not finish, or if the result is about other weights."""
    try:
        result = read_result(directory)
    except UserError:
        return None
    if checkpoint is None:
        return result
    path = find_checkpoint(os.fspath(checkpoint), str(directory), "demo")
    return result if path is None or result.measured(path) else None


def _points(points: Mapping[str, Any] | None, encoder: MultiExitEncoder) -> dict[str, tuple[Criterion, float]]:
    return {name: resolve_point(points, name, encoder.exit_layers) for name in points or {}}
