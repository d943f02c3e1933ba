"""Errors of readers: every missing or damaged file is a `UserError` of one line."""

from __future__ import annotations

import contextlib
import csv
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import yaml

from acl_lightning.errors import UserError

#: Exceptions of the standard library, yaml and numpy for content that is not what a reader expects.
DAMAGE = (
    ValueError,  # also UnicodeDecodeError and JSONDecodeError
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    RecursionError,
    csv.Error,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    yaml.YAMLError,
)


class MissingFile(UserError):
    """A file of a run directory does not exist."""


@contextlib.contextmanager
def reading(path: Path, content: str, remedy: str) -> Iterator[None]:
    """Turn every error of reading `path` into a `UserError` of one line.

    Args:
        path: The file.
        content: What the file should contain, for the message: `the result of a run`.
        remedy: How to get an undamaged file.

    Raises:
        MissingFile: There is no such file.
        UserError: The file cannot be read, or its content is damaged.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise MissingFile(f"{content} at {path}", "no such file", remedy) from error
    except (OSError, *DAMAGE) as error:
        if isinstance(error, OSError) and error.strerror:
            reason_text = error.strerror
        else:
            reason = next(iter(str(error).splitlines()), "")
            reason_text = f"a damaged file ({type(error).__name__}{': ' if reason else ''}{reason})"
        raise UserError(f"{content} at {path}", reason_text, remedy) from error
