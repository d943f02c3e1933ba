"""`exit_sweep.csv`: quality and speed at every threshold of every criterion, on the report split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acl_lightning.files import write_text_atomically
from acl_lightning.runs.names import EXIT_SWEEP
from acl_lightning.runs.records.reading import reading
from acl_lightning.runs.records.tables import csv_rows, csv_text, number


@dataclass(frozen=True)
class SweepRow:
    """A row of `exit_sweep.csv`.

    Attributes:
        criterion: Name of the criterion.
        threshold: Threshold; for `static`, the number of the exit, from 1.
        quality: Primary metric as a fraction; NaN where it is undefined.
        mean_exit_layer: Mean layer, from 1, at which samples leave.
        layer_speedup: Number of layers / `mean_exit_layer`.
        flops_speedup: FLOPs at full depth / mean FLOPs.
    """

    criterion: str
    threshold: float
    quality: float
    mean_exit_layer: float
    layer_speedup: float
    flops_speedup: float


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
                row["criterion"],
                number(row["threshold"]),
                number(row["quality"]),
                number(row["mean_exit_layer"]),
                number(row["layer_speedup"]),
                number(row["flops_speedup"]),
            )
            for row in csv_rows(path)
        )
