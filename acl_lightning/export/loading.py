"""Reading what `export` wrote, which may be damaged or may have been written by another program."""

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
    """Return the model, in evaluation mode, and the tokenizer of an export.

    Raises:
        UserError: the directory is no export, or one that is damaged.
    """
    with _readable(directory, "config.json"):
        content, _ = MultiExitConfig.get_config_dict(directory)
        kind = content.get("model_type")
    if kind != MultiExitConfig.model_type:
        raise UserError(f"an export of this program in {directory}", f"a model of type {kind!r}", "See `export`.")
    with _readable(directory, "config.json"):
        config = MultiExitConfig.from_pretrained(directory)
        _check(config)
    with _readable(directory, "model.safetensors"), _quiet():
        model, report = MultiExitForSequenceClassification.from_pretrained(
            directory, config=config, output_loading_info=True, use_safetensors=True, ignore_mismatched_sizes=True
        )
    wrong = {name: report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys") if report.get(name)}
    if wrong:
        names = "; ".join(f"{len(keys)} {name.replace('_', ' ')}" for name, keys in wrong.items())
        raise _damaged(directory, f"weights that do not fit config.json ({names})")
    with _readable(directory, "tokenizer.json"), _quiet():
        if not any((directory / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json")):
            raise FileNotFoundError("no tokenizer.json")
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    vocabulary = model.config.backbone_config.vocab_size
    if len(tokenizer) > vocabulary:
        raise _damaged(directory, f"a tokenizer of {len(tokenizer)} ids for a model of {vocabulary}")
    return model, tokenizer


def _check(config: Any) -> None:
    """Raise an error unless the fields that this program reads have the types that `export` gives them."""
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
    """Turn any error of reading a file of an export into one line about it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # JSON, safetensors and tokenizers each raise their own
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise _damaged(directory, f"{name} that cannot be read ({type(error).__name__}: {line[:200]})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and tables about weights off the terminal: the answer is one line."""
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


def _damaged(directory: Path, found: str) -> UserError:
    return UserError(f"a complete export in {directory}", found, "Export the run again.")
