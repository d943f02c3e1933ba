"""Atomic writing of files, so that readers never see a partial file."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from acl_lightning.errors import UserError


@contextlib.contextmanager
def replaced_atomically(path: str | os.PathLike[str], setting: str = "--run_dir") -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` on success and removed on failure.

    The temporary file has the suffix of `path`, by which matplotlib selects the format, and is flushed to disk before
    it is renamed. After a crash or with a full disk, `path` has its old content or the new content, never a part of it.

    Args:
        path: File to write.
        setting: Option that names its directory, for the message.

    Raises:
        UserError: The file cannot be written (full disk, no permission); `path` is unchanged.
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
            f"Free disk space, or set {setting} to another directory. No partial file was left.",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path` through `replaced_atomically`."""
    with replaced_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


#: Warning of matplotlib about a character that its fonts lack.
_MISSING_GLYPH = r"Glyph (\d+) .*missing from font"


class Figure(Protocol):
    """A figure of matplotlib, which this module does not import."""

    def savefig(self, fname: Any, *, dpi: int) -> None:
        """Write the figure; the suffix of the file selects the format."""


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 150) -> None:
    """Write a figure to `path` through `replaced_atomically`.

    Characters that the fonts of matplotlib lack are drawn as boxes, with a warning that names them.
    """
    with replaced_atomically(path) as temporary, warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=_MISSING_GLYPH)
        figure.savefig(temporary, dpi=dpi)
    missing: dict[str, None] = {}
    for warning in caught:
        glyph = re.match(_MISSING_GLYPH, str(warning.message))
        if glyph is None:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        else:
            missing[chr(int(glyph[1]))] = None
    if missing:
        shown = "".join(list(missing)[:10]) + (" and others" if len(missing) > 10 else "")
        warnings.warn(
            f"{Path(path).name} shows boxes for characters that no font of matplotlib has: {shown}. Set font.family in "
            "a matplotlibrc file to an installed font that has them.",
            stacklevel=2,
        )


def remove_temporary_files(directory: Path) -> None:
    """Remove the temporary files of killed processes that `replaced_atomically` created in `directory`.

    Call it only if no other process writes there. Part files (`.part`) stay, because a later command continues them.
    """
    for path in directory.glob(".*-*"):
        if path.suffix != ".part" and path.is_file() and re.fullmatch(r"\..+-[a-z0-9_]{8}(\.\w+)?", path.name):
            path.unlink(missing_ok=True)
