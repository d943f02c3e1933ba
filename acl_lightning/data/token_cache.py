"""Cache of token ids on disk, verified by a checksum whenever it is read."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from datasets import Dataset

from acl_lightning.errors import UserError


class _DamagedError(Exception):
    """The reason why a cache file cannot be used."""


def load_or_build(path: Path, build: Callable[[], object], num_rows: int | None) -> Dataset:
    """Read the Arrow file `path`; build it if it is missing or damaged.

    A file is valid if its SHA-256 equals the one stored beside it (`path` with the suffix `.sha256`, in the format of
    sha256sum) and it has `num_rows` rows. A damaged file is rebuilt once, with a warning. A file without a checksum was
    left by a process that was stopped or is still writing; it is replaced without a warning.

    Args:
        path: The Arrow file.
        build: Function that writes `path` and replaces an existing file.
        num_rows: Number of rows that the file must have; None: any.

    Raises:
        UserError: The file cannot be written, or cannot be read although it was just written.
    """
    if path.exists() and _checksum_of(path).exists():
        try:
            return _verified(path, num_rows)
        except _DamagedError as damage:
            warnings.warn(f"the token cache {path} is damaged ({damage}); it is rebuilt", stacklevel=2)
    try:
        build()
        _checksum_of(path).write_text(f"{_sha256(path)}  {path.name}\n", encoding="utf-8")
        return _verified(path, num_rows)
    except (OSError, pa.ArrowException, _DamagedError) as error:
        raise UserError(
            f"a readable and writable token cache {path}",
            getattr(error, "strerror", None) or str(error).strip() or type(error).__name__,
            "Free disk space, check the permissions of the directory, or set data.cache_dir to another directory.",
        ) from error


def _checksum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _verified(path: Path, num_rows: int | None) -> Dataset:
    """Return the rows of `path` after comparing its checksum."""
    try:
        expected = _checksum_of(path).read_text(encoding="utf-8", errors="replace").split()
        if expected[:1] != [_sha256(path)]:
            raise _DamagedError("its content does not match its checksum")
        rows = Dataset.from_file(str(path))
    except (OSError, pa.ArrowException) as error:
        raise _DamagedError(str(error).strip() or type(error).__name__) from error
    if num_rows is not None and len(rows) != num_rows:
        raise _DamagedError(f"{len(rows)} rows instead of {num_rows}")
    return rows
