"""`exit_sweep.csv`: quality and speed at every threshold of every criterion, on the report split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acl_lightning.exits.evaluation.operating_point import CurvePoint
from acl_lightning.files import write_text_atomically
from acl_lightning.runs.names import EXIT_SWEEP
from acl_lightning.runs.records.reading import reading
from acl_lightning.runs.records.tables import csv_rows, csv_text, number


@dataclass(frozen=True, kw_only=True)
class SweepRow(CurvePoint):
    """A row of `exit_sweep.csv`, with the numbers of a `CurvePoint`.

    Attributes:
        criterion: Name of the criterion.
        threshold: Threshold; for `static`, the number of the exit, from 1.
    """

    criterion: str
    threshold: float


def write_sweep(directory: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write `exit_sweep.csv`, atomically.

    Args:
        directory: Run directory.
        header: Names of the columns, which include the attributes of `SweepRow`.
        rows: A row for every criterion, setting and threshold.

    Raises:
        UserError: The file system refuses; an earlier file is unchanged.
    """
    write_text_atomically(directory / EXIT_SWEEP, csv_text(header, rows))


def read_sweep(directory: str | os.PathLike[str]) -> tuple[SweepRow, ...]:
    """Return the rows of `exit_sweep.csv`, in the order of the file.

    Raises:
        MissingFile: There is no such file.
        UserError: It cannot be read, or is damaged.
    """
    path = Path(directory) / EXIT_SWEEP
    with reading(path, "the exit sweep of a run", "Validate the run again."):
        return tuple(
            SweepRow(
                criterion=row["criterion"],
                threshold=number(row["threshold"]),
                quality=number(row["quality"]),
                mean_exit_layer=number(row["mean_exit_layer"]),
                layer_speedup=number(row["layer_speedup"]),
                flops_speedup=number(row["flops_speedup"]),
            )
            for row in csv_rows(path)
        )
