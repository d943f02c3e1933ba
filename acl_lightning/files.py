"""Writing result files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from acl_lightning.errors import UserError


@contextlib.contextmanager
def replaced_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name `path`, on failure it is removed.

    The temporary file keeps the suffix of `path` (matplotlib chooses the format by it) and is flushed to disk before
    the rename, so after a crash or a full disk `path` holds its old content or the new one, never a part.

    Raises:
        UserError: the file system refused the write (full disk, no permission); `path` is untouched.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"to write {path}",
            f"{error.strerror or error}",
            "Free space or choose another --run_dir; nothing was half-written.",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path` through `replaced_atomically`."""
    with replaced_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_temporary_files(directory: Path) -> None:
    """Remove what `replaced_atomically` left in `directory` when its process was killed.

    Call it only where no other process writes. Part files (`.part`), which a later command continues, stay.
    """
    for path in directory.glob(".*-*"):
        if path.suffix != ".part" and path.is_file() and re.fullmatch(r"\..+-[a-z0-9_]{8}(\.\w+)?", path.name):
            path.unlink(missing_ok=True)
