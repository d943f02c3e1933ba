"""Decoded lines of a text file or of standard input."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from acl_lightning.errors import UserError

#: Value of a setting that stands for standard input.
STANDARD_INPUT = "-"


def check_encoding(encoding: str, option: str = "data.") -> None:
    """Raise `UserError` for an encoding that is unknown, or whose line breaks are not those of ASCII.

    Args:
        encoding: Name of an encoding.
        option: Text before the name of the setting in the message.
    """
    try:
        readable = "a\n".encode(encoding).removeprefix(codecs.BOM_UTF8) == b"a\n"
    except (LookupError, UnicodeEncodeError):
        readable = False
    if not readable:
        raise UserError(
            f"--{option.removeprefix('--')}encoding that extends ASCII, such as utf-8, latin-1 or cp1252",
            repr(encoding),
            f"Convert the file to UTF-8 (iconv -f ENCODING -t UTF-8) and set {option}encoding to utf-8.",
        )


def decoded_lines(
    place: Path | None, name: str, encoding: str, *, option: str = "data.", errors: str = "strict"
) -> Iterator[tuple[int, str]]:
    r"""Yield the number, from 1, and the text of every line, with its line break.

    Only `\n` ends a line: form feeds and U+2028 occur inside texts. A byte order mark is skipped.

    Args:
        place: The file; None for standard input.
        name: Name for messages.
        encoding: Encoding that extends ASCII.
        option: Text before the name of the setting in the message.
        errors: Treatment of bytes that are not text, as in `bytes.decode`.

    Raises:
        UserError: A line is not in this encoding.
    """
    file: BinaryIO = sys.stdin.buffer if place is None else place.open("rb")
    try:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            try:
                yield number, content.decode(encoding, errors)
            except UnicodeDecodeError as error:
                if number == 1 and content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise _utf_16(encoding, name) from error
                raise UserError(
                    f"text in {encoding.upper()} in {name}, line {number}",
                    f"the byte 0x{content[error.start]:02x}",
                    f"Convert the file to UTF-8, or set {option}encoding to its encoding, for example cp1252.",
                ) from error
    finally:
        if place is not None:
            file.close()


def _utf_16(encoding: str, name: str) -> UserError:
    """Return the error for a text that begins with the byte order mark of UTF-16, the "Unicode" of spreadsheets."""
    return UserError(
        f"text in {encoding.upper()} in {name}",
        "the byte order mark of UTF-16",
        f"Convert it: iconv -f UTF-16 -t UTF-8 {name} > NEW, or save it as CSV in UTF-8.",
    )
