"""Reader of the official TSV files of GLUE."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acl_lightning.data.tasks import SplitFile, TaskInfo
from acl_lightning.errors import UserError

Columns = dict[str, list[Any]]


def read_split(root: str | os.PathLike[str], info: TaskInfo, split: str) -> Columns:
    r"""Read a split into canonical columns: the texts and, if the split is labelled, `label`.

    The files are tab-separated without quoting: a quotation mark is an ordinary character, only `\n` ends a row (a
    preceding `\r` is dropped), a byte order mark is skipped, and texts such as `NA` or the empty string are kept. Every
    row must have as many fields as the header.

    Args:
        root: Directory that contains the nine task directories (`CoLA`, `SST-2`, …).
        info: Task to read.
        split: Name of the split, an element of `info.splits`.

    Returns:
        Column name -> values; `label` is the class index, or a float for regression.

    Raises:
        UserError: The directory, the file or a column is missing, the file is empty or not UTF-8, a row has the wrong
            number of fields, or a label is unknown. The message names the file and the line.
    """
    layout = info.files[split]
    path = _existing(Path(root), info, layout)
    lines = _lines(path)
    header = layout.columns or tuple(next(lines)[1])
    positions = [_position(path, header, name) for name in layout.text]
    label_position = None if layout.label is None else _position(path, header, layout.label)
    columns: Columns = {name: [] for name in info.text_columns}
    labels: list[int | float] = []
    for number, fields in lines:
        if len(fields) != len(header):
            if len(fields) < len(header) and layout.skips_short_rows:
                continue
            raise UserError(
                f"{len(header)} tab-separated fields in {path}, line {number}",
                f"{len(fields)}",
                "Download the file again, and do not edit it with a program that adds quotes or wraps lines.",
            )
        for name, position in zip(info.text_columns, positions, strict=True):
            columns[name].append(fields[position])
        if label_position is not None:
            labels.append(_label(info, fields[label_position], path, number))
    if not columns[info.text_columns[0]]:
        raise UserError(f"rows in {path}", "none", "Download the file again.")
    return columns if label_position is None else {**columns, "label": labels}


def _existing(root: Path, info: TaskInfo, layout: SplitFile) -> Path:
    directory = root.expanduser() / info.directory
    remedy = "Set data.root to the directory that contains CoLA, SST-2, …, or set data.source to hub."
    if not directory.is_dir():
        raise UserError(f"the directory {directory}", "none", remedy)
    path = directory / layout.name
    if not path.is_file():
        existing = ", ".join(sorted(entry.name for entry in directory.iterdir())) or "nothing"
        raise UserError(f"the file {path}", f"only {existing}", remedy)
    return path


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number (from 1) and the fields of every line, at least one."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"UTF-8 text in {path}", f"an invalid byte at position {error.start}", "Download the file again."
        ) from error
    if not text.strip():
        raise UserError(f"rows in {path}", "an empty file", "Download the file again.")
    # str.splitlines would also split at form feeds and U+2028, which occur inside sentences.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        yield number, line.removesuffix("\r").split("\t")


def _position(path: Path, header: tuple[str, ...], name: str) -> int:
    if name not in header:
        raise UserError(
            f"a column {name!r} in {path}",
            f"columns {', '.join(header)}",
            "Use the file of the official download.",
        )
    return header.index(name)


def _label(info: TaskInfo, value: str, path: Path, number: int) -> int | float:
    if value in info.file_labels:
        return info.file_labels.index(value)
    if info.is_regression and _is_finite_number(value):
        return float(value)
    known = ", ".join(info.file_labels) or "a number"
    raise UserError(
        f"a label of {info.name} ({known}) in {path}, line {number}", repr(value), "Correct or remove the row."
    )


def _is_finite_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False
