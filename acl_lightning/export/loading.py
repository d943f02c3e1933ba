"""Reader of export directories, with checks for damaged files and files of other programs."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoTokenizer

from acl_lightning.errors import UserError
from acl_lightning.export.config import MultiExitConfig
from acl_lightning.export.model import MultiExitForSequenceClassification
from acl_lightning.export.served_points import resolve_point


def load_export(directory: Path) -> tuple[MultiExitForSequenceClassification, Any]:
    """Load the model, in evaluation mode, and the tokenizer of an export of a model of texts.

    Args:
        directory: Directory that `export_run` wrote.

    Raises:
        UserError: The directory is not an export, or one of a model of images; or a file in it is damaged.
    """
    with _readable(directory, "config.json"):
        content, _ = MultiExitConfig.get_config_dict(directory)
        model_type = content.get("model_type")
    if model_type != MultiExitConfig.model_type:
        raise UserError(
            f"an export of acl_lightning in {directory}",
            f"a model of type {model_type!r}",
            "Write one with `python -m acl_lightning export RUN --out DIR`.",
        )
    with _readable(directory, "config.json"):
        config = MultiExitConfig.from_pretrained(directory)
        if config.reads_images:
            raise UserError(
                f"an export of a model of texts in {directory}",
                "one of a model of images",
                "Load it with AutoModelForImageClassification of transformers.",
            )
        _check(config)
    with _readable(directory, "model.safetensors"), _quiet():
        model, report = MultiExitForSequenceClassification.from_pretrained(
            directory, config=config, output_loading_info=True, use_safetensors=True, ignore_mismatched_sizes=True
        )
    wrong = {name: report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys") if report.get(name)}
    if wrong:
        counts = "; ".join(f"{len(keys)} {name.replace('_', ' ')}" for name, keys in wrong.items())
        raise _damaged(directory, f"weights that do not match config.json ({counts})")
    with _readable(directory, "tokenizer.json"), _quiet():
        if not any((directory / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json")):
            raise FileNotFoundError("no tokenizer.json")
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    vocabulary = model.config.backbone_config.vocab_size
    if len(tokenizer) > vocabulary:
        raise _damaged(directory, f"a tokenizer with {len(tokenizer)} tokens and a model with {vocabulary}")
    return model, tokenizer


def _check(config: Any) -> None:
    """Raise an error unless the fields of a configuration have the types and lengths that `export` writes."""
    layers = list(config.exit_layers)
    if not layers or not all(isinstance(layer, int) for layer in layers):
        raise ValueError(f"exit_layers {config.exit_layers!r}")
    columns = list(config.text_columns)
    if isinstance(config.text_columns, str) or len(columns) not in {1, 2}:
        raise ValueError(f"text_columns {config.text_columns!r}")
    if config.temperatures is not None and len(config.temperatures) != len(layers):
        raise ValueError(f"{len(config.temperatures)} temperatures for {len(layers)} exits")
    if config.max_length is not None and not (isinstance(config.max_length, int) and config.max_length > 0):
        raise ValueError(f"max_length {config.max_length!r}")
    for name in config.operating_points or {}:
        resolve_point(config.operating_points, name, layers)


@contextmanager
def _readable(directory: Path, name: str) -> Iterator[None]:
    """Turn an error while reading the file `name` of an export into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # JSON, safetensors and tokenizers have no common exception
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise _damaged(directory, f"{name} that cannot be read ({type(error).__name__}: {line[:200]})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide transformers' progress bars and reports about weights, so that an error is a single line."""
    logger = logging.getLogger("transformers")
    level = logger.level
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        if shown:
            transformers.utils.logging.enable_progress_bar()


def _damaged(directory: Path, problem: str) -> UserError:
    return UserError(f"a complete export in {directory}", problem, "Export the run again.")
