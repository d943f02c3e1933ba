"""Writer of export directories: model, tokenizer or image processor, and model card of a run."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acl_lightning.encoders import merged
from acl_lightning.errors import UserError
from acl_lightning.export.config import MultiExitConfig, exported_config
from acl_lightning.export.image_model import MultiExitForImageClassification, exported_image_processor
from acl_lightning.export.model import MultiExitForSequenceClassification, MultiExitModel
from acl_lightning.export.model_card import model_card
from acl_lightning.files import write_text_atomically
from acl_lightning.runs import load_run, read_result
from acl_lightning.runs.data_modules import image_data, text_data


def export_run(run: str | os.PathLike[str], out: str | os.PathLike[str], *, only_texts: bool = False) -> MultiExitModel:
    """Export a finished run as a directory that transformers loads.

    The directory holds `config.json`, `model.safetensors`, the files of the tokenizer or, for a model of images, of the
    image processor, and a model card `README.md`. The weights are those of the checkpoint that the run's `result.json`
    was measured on, with adapters merged into them. The directory gets its name when it is complete.

    Args:
        run: Directory of the run.
        out: Directory to write; it must not exist yet.
        only_texts: Whether to refuse a run on images.

    Returns:
        The exported model, without an operating point (full depth).

    Raises:
        UserError: `out` exists or cannot be written; `run` has no finished result or no checkpoint, its `result.json`
            is damaged, or its data module is neither one of texts nor one of images.
    """
    run, out = Path(run).expanduser(), Path(out).expanduser()
    check_free(out)
    result = read_result(run)
    module, data = load_run(run)
    images = None if only_texts else image_data(data)
    if images is not None:
        config = exported_config(module.encoder, module.label_names, (), images.task_name, result)
        model: MultiExitModel = MultiExitForImageClassification(config)
        preprocessor = exported_image_processor(images.image_size, *images.normalization)
    else:
        texts = text_data(data, run)
        columns, task = texts.info.text_columns, texts.task_name
        config = exported_config(module.encoder, module.label_names, columns, task, result, texts.max_length)
        model = MultiExitForSequenceClassification(config)
        preprocessor = exported_tokenizer(texts.tokenizer, config)
    card = model_card(out.name, config, result)
    model.encoder.load_state_dict(merged(module.encoder).state_dict())
    write_directory(out, model.eval(), preprocessor, card)
    return model


def exported_tokenizer(tokenizer: Any, config: MultiExitConfig) -> Any:
    """Return a copy of a tokenizer with the settings of training: maximal length, and padding on the right.

    The model counts positions from the first token of the batch, so padding on the left would change its answers.
    """
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = config.max_length
    return tokenizer


def check_free(out: Path) -> None:
    """Raise `UserError` if `out` exists."""
    if out.exists():
        raise UserError("an export directory that does not exist yet", f"{out}", "Delete it or choose another --out.")


def write_directory(out: Path, model: MultiExitModel, preprocessor: Any, card: str) -> None:
    """Write an export under a temporary name and rename it to `out` when it is complete.

    Args:
        out: Directory to write.
        model: Exported model.
        preprocessor: Tokenizer or image processor of transformers.
        card: Content of `README.md`.

    Raises:
        UserError: The file system refuses a write. Nothing is left behind.
    """
    with complete_directory(out) as unfinished:
        model.save_pretrained(unfinished)
        preprocessor.save_pretrained(unfinished)
        write_text_atomically(unfinished / "README.md", card)


@contextmanager
def complete_directory(out: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `out`; it is renamed to `out` on success and removed on failure.

    Raises:
        UserError: The file system refuses a write. Nothing is left behind.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            yield unfinished
            unfinished.chmod(0o755)
            for written in unfinished.iterdir():
                written.chmod(0o644)  # safetensors makes its file readable for the owner only
            unfinished.rename(out)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except Exception as error:
        reason = _disk_error(error)
        if reason is None:
            raise
        raise UserError(f"to write {out}", reason, "Free space or choose another --out.") from error


def _disk_error(error: Exception) -> str | None:
    """Return the file system's message if an error has one, else None.

    safetensors and tokenizers, which are written in Rust, raise exceptions of a general class.
    """
    if isinstance(error, UserError):
        return error.found if isinstance(error.__cause__, OSError) else None
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if "(os error " in str(error) else None
