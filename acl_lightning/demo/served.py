"""What the demo serves: a trained encoder, its tokenizer, and names for what it says."""

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
from acl_lightning.runs import load_run, read_result
from acl_lightning.runs.checkpoints import find_checkpoint
from acl_lightning.runs.names import CHECKPOINTS


@dataclass(frozen=True)
class ServedModel:
    """A model that answers.

    Attributes:
        encoder: in evaluation mode.
        tokenizer: of the backbone.
        label_names: names of the classes; empty for a regression.
        text_columns: names of the texts that an input is made of: one, or two for pairs.
        task_name: for the title.
        max_length: tokens that a text is truncated to, as in training; None: as many as the backbone reads.
        points: name -> criterion and threshold of the operating points that the run recommends.
        recommended_point: name of the point that the page opens at; None: the first one, or full depth.
        temperatures_E: temperature of each exit; None: the run was not calibrated.
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
        """Largest number of tokens of a text, special ones included."""
        return min(self.max_length or self.encoder.backbone.max_tokens, self.encoder.backbone.max_tokens)


def load_served(directory: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None) -> ServedModel:
    """Read a run's directory, or one that `export` wrote.

    Args:
        directory: of a run (`config.yaml`) or an export (`config.json`).
        checkpoint: of a run: `best`, `last` or a file; default: the one that its result is about.

    Raises:
        UserError: `directory` is neither, or what it holds cannot be loaded.
    """
    directory = Path(directory).expanduser()
    if (directory / "config.yaml").is_file():
        return _served_run(directory, checkpoint)
    if not (directory / "config.json").is_file():
        raise UserError(
            f"a run or an export in {directory}", "neither config.yaml nor config.json", "Name what `fit` wrote."
        )
    if checkpoint is not None:
        raise UserError("no checkpoint beside an export", f"{checkpoint!r}", "An export has one set of weights.")
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
    module, data = load_run(directory, checkpoint)
    try:
        result = read_result(directory).to_json()
    except UserError:
        result = {}  # a run that did not finish has no operating points
    path = find_checkpoint(os.fspath(checkpoint), str(directory), "demo") if checkpoint else None
    measured = result.get("checkpoint")
    if path is not None and measured and Path(str(measured)).name != Path(path).name:
        result = {}  # thresholds and temperatures of other weights
    points, highlighted = _points(served_points(result), module.encoder), result.get("highlighted")
    return ServedModel(
        encoder=module.encoder,
        tokenizer=data.tokenizer,
        label_names=tuple(module.label_names),
        text_columns=tuple(data.info.text_columns),
        task_name=module.task_name,
        max_length=data.max_length,
        points=points,
        recommended_point=highlighted if isinstance(highlighted, str) else None,
        temperatures_E=stored_temperatures(result, module.encoder.num_exits),
    )


def _points(points: Mapping[str, Any] | None, encoder: MultiExitEncoder) -> dict[str, tuple[Criterion, float]]:
    return {name: resolve_point(points, name, encoder.exit_layers) for name in points or {}}


def run_of_checkpoint(path: str | os.PathLike[str]) -> Path:
    """The run's directory of a checkpoint at `RUN/checkpoints/NAME.ckpt`.

    Raises:
        UserError: the file lies elsewhere, so that there is no configuration beside it.
    """
    path = Path(path).expanduser().resolve()
    if path.parent.name != CHECKPOINTS:
        raise UserError(f"a checkpoint at RUN/{CHECKPOINTS}/NAME.ckpt", f"{path}", "Name the run's directory instead.")
    return path.parent.parent
