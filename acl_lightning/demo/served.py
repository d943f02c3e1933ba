"""What the demo serves: a trained encoder, its tokenizer, and names for what it says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from acl_lightning.encoders import MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.export import MultiExitForSequenceClassification
from acl_lightning.multi_exit_config import MultiExitConfig
from acl_lightning.run_directory import CHECKPOINTS
from acl_lightning.saved_run import load_run


@dataclass(frozen=True)
class ServedModel:
    """A model that answers.

    Attributes:
        encoder: in evaluation mode.
        tokenizer: of the backbone.
        label_names: names of the classes; empty for a regression.
        text_columns: names of the texts that an input is made of: one, or two for pairs.
        task_name: for the title.
    """

    encoder: MultiExitEncoder
    tokenizer: Any
    label_names: tuple[str, ...]
    text_columns: tuple[str, ...]
    task_name: str


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
        module, data = load_run(directory, checkpoint)
        names, columns = tuple(module.label_names), tuple(data.info.text_columns)
        return ServedModel(module.encoder, data.tokenizer, names, columns, module.task_name)
    if not (directory / "config.json").is_file():
        raise UserError(
            f"a run or an export in {directory}", "neither config.yaml nor config.json", "Name what `fit` wrote."
        )
    if checkpoint is not None:
        raise UserError("no checkpoint beside an export", f"{checkpoint!r}", "An export has one set of weights.")
    kind, _ = MultiExitConfig.get_config_dict(directory)
    if kind.get("model_type") != MultiExitConfig.model_type:
        raise UserError(
            f"an export of this program in {directory}", f"a model of type {kind.get('model_type')!r}", "See `export`."
        )
    model = MultiExitForSequenceClassification.from_pretrained(directory)
    config = model.config
    names = () if config.problem_type == "regression" else tuple(config.id2label.values())
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    return ServedModel(model.encoder, tokenizer, names, tuple(config.text_columns), config.task_name or "model")


def run_of_checkpoint(path: str | os.PathLike[str]) -> Path:
    """The run's directory of a checkpoint at `RUN/checkpoints/NAME.ckpt`.

    Raises:
        UserError: the file lies elsewhere, so that there is no configuration beside it.
    """
    path = Path(path).expanduser().resolve()
    if path.parent.name != CHECKPOINTS:
        raise UserError(f"a checkpoint at RUN/{CHECKPOINTS}/NAME.ckpt", f"{path}", "Name the run's directory instead.")
    return path.parent.parent
