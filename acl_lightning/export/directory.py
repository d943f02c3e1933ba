"""Write a run as a directory that transformers loads."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acl_lightning.encoders import EXIT_ROWS, MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.exits import stored_temperatures
from acl_lightning.export.config import MultiExitConfig
from acl_lightning.export.model import MultiExitForSequenceClassification
from acl_lightning.export.model_card import model_card
from acl_lightning.export.served_points import damaged_result, served_points
from acl_lightning.files import write_text_atomically
from acl_lightning.runs import load_run, read_result


def export_run(run: str | os.PathLike[str], out: str | os.PathLike[str]) -> MultiExitForSequenceClassification:
    """Write what `fit` trained as `config.json`, `model.safetensors`, tokenizer files and a model card `README.md`.

    The weights are those of the checkpoint that the run's `result.json` was measured on, unchanged. The directory
    appears under its name when it is whole.

    Args:
        run: the run's directory.
        out: a directory that does not exist yet.

    Returns:
        The exported model, at full depth.

    Raises:
        UserError: `out` exists; there is no finished run with a checkpoint in `run`, or its `result.json` is damaged;
            or the disk refuses.
    """
    run, out = Path(run).expanduser(), Path(out).expanduser()
    check_free(out)
    result = read_result(run).to_json()
    module, data = load_run(run)
    config = exported_config(
        module.encoder, module.label_names, data.info.text_columns, data.task_name, result, data.max_length
    )
    try:
        card = model_card(out.name, config, result)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise damaged_result("metric", error) from error
    model = MultiExitForSequenceClassification(config)
    model.encoder.load_state_dict(module.encoder.state_dict())
    write_directory(out, model.eval(), exported_tokenizer(data.tokenizer, config), card)
    return model


def exported_tokenizer(tokenizer: Any, config: MultiExitConfig) -> Any:
    """Return a copy of the tokenizer whose defaults are those of training: maximal length, and padding on the right.

    Positions count from the first token of the batch, padding included, so padding on the left would change answers.
    """
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.padding_side = "right"
    tokenizer.model_max_length = config.max_length
    return tokenizer


def exported_config(
    encoder: MultiExitEncoder,
    label_names: Sequence[str],
    text_columns: Sequence[str],
    task_name: str,
    result: Mapping[str, Any],
    max_length: int | None = None,
) -> MultiExitConfig:
    """The configuration from which `MultiExitForSequenceClassification` builds this encoder again.

    Args:
        encoder: of the BERT family.
        label_names: names of the classes; empty for a regression, whose one output is named `score`.
        text_columns: one name, or two for pairs.
        task_name: for the record.
        result: a run's `result.json`, for its operating points and temperatures.
        max_length: tokens that training truncated texts to; None: as many as the backbone has positions for.

    Raises:
        UserError: a result that this version cannot read.
    """
    head: Any = encoder.heads[0]
    row: Any = encoder.exit_rows[0]
    backbone: Any = encoder.backbone
    kinds = {kind: name for name, kind in EXIT_ROWS.items()}
    temperatures_E = stored_temperatures(result, encoder.num_exits)
    points, highlighted = served_points(result), result.get("highlighted")
    return MultiExitConfig(
        backbone_config=backbone.model.config.to_dict(),
        exit_layers=list(encoder.exit_layers),
        exit_row=kinds[type(row)],
        head_pooler=head.pooler is not None,
        head_dropout=head.dropout.p,
        separate_label_embeddings=encoder.label_embeddings is not None,
        learnt_gate=encoder.gate is not None,
        operating_points=points,
        recommended_point=highlighted if isinstance(highlighted, str) and highlighted in points else None,
        temperatures=None if temperatures_E is None else list(temperatures_E),
        max_length=min(max_length or backbone.max_tokens, backbone.max_tokens),
        task_name=task_name,
        text_columns=list(text_columns),
        id2label=dict(enumerate(label_names or ["score"])),
        label2id={name: number for number, name in enumerate(label_names or ["score"])},
        problem_type="single_label_classification" if label_names else "regression",
    )


def check_free(out: Path) -> None:
    """Raise `UserError` when there is something at `out`."""
    if out.exists():
        raise UserError("an export directory that does not exist yet", f"{out}", "Delete it or choose another --out.")


def write_directory(out: Path, model: MultiExitForSequenceClassification, tokenizer: Any, card: str) -> None:
    """Fill a directory beside `out` and give it the name when it is complete.

    Raises:
        UserError: the disk refuses; nothing is left.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            model.save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
            write_text_atomically(unfinished / "README.md", card)
            unfinished.chmod(0o755)
            for written in unfinished.iterdir():
                written.chmod(0o644)  # safetensors writes for the owner's eyes alone
            unfinished.rename(out)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except Exception as error:
        reason = _disk_error(error)
        if reason is None:
            raise
        raise UserError(f"to write {out}", reason, "Free space or choose another --out.") from error


def _disk_error(error: Exception) -> str | None:
    """Return what the file system said, if that is what an error is about.

    safetensors and tokenizers, which are written in Rust, raise exceptions of no particular class.
    """
    if isinstance(error, UserError):
        return error.found
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if "(os error " in str(error) else None
