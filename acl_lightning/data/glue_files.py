"""Reading the official TSV download of GLUE."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acl_lightning.data.tables import SplitFile, TaskInfo
from acl_lightning.errors import UserError

Columns = dict[str, list[Any]]


def read_split(root: str | os.PathLike[str], info: TaskInfo, split: str) -> Columns:
    r"""Read one split into canonical columns: the texts and, where the split is labelled, `label`.

    The files are tab-separated without any quoting: a quotation mark is a character like others, only `\n` ends
    a row (one `\r` before it is dropped), a byte order mark is skipped, and texts such as `NA` or the empty string are
    kept as they are. Rows of a file with a header must have as many fields as the header.

    Args:
        root: directory that holds the nine task directories (`CoLA`, `SST-2`, …).
        info: the task.
        split: one of `info.splits`.

    Returns:
        Column name -> values; `label` is the class index, or a float for regression.

    Raises:
        UserError: directory, file or column missing, file empty or not UTF-8, a row with the wrong number of fields,
            an unknown label. The message names file and line.
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
                "Download the file again; it must not be edited with a program that quotes or wraps lines.",
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
    remedy = "Point --data.root at the directory that holds CoLA, SST-2, …, or choose --data.source=hub."
    if not directory.is_dir():
        raise UserError(f"the directory {directory}", "none", remedy)
    path = directory / layout.name
    if not path.is_file():
        there = ", ".join(sorted(entry.name for entry in directory.iterdir())) or "nothing"
        raise UserError(f"the file {path}", f"only {there}", remedy)
    return path


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number (from 1) and fields of every line; the first one always exists."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"UTF-8 text in {path}", f"byte {error.start} is not", "Download the file again.") from error
    if not text.strip():
        raise UserError(f"rows in {path}", "an empty file", "Download the file again.")
    # str.splitlines would also cut at form feeds and U+2028, which do occur inside sentences.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        yield number, line.removesuffix("\r").split("\t")


def _position(path: Path, header: tuple[str, ...], name: str) -> int:
    if name not in header:
        raise UserError(
            f"a column {name!r} in {path}", f"columns {', '.join(header)}", "Use the official GLUE download's file."
        )
    return header.index(name)


def _label(info: TaskInfo, value: str, path: Path, number: int) -> int | float:
    if value in info.file_labels:
        return info.file_labels.index(value)
    if info.is_regression and _is_finite_number(value):
        return float(value)
    known = ", ".join(info.file_labels) or "a number"
    raise UserError(
        f"a label of {info.name} ({known}) in {path}, line {number}", repr(value), "Correct the row or remove it."
    )


def _is_finite_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False
