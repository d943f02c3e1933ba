"""Study of embeddings: measures of the representation at every exit, and maps of the samples at one exit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from acl_lightning.errors import UserError
from acl_lightning.figures import EmbeddingMap, embedding_map_figure
from acl_lightning.runs.records import RepresentationRecord, read_representation
from acl_lightning.studies.grouping import Group, cautions, check_one_task, group_runs, named_with_size
from acl_lightning.studies.reading import Run, UnfinishedRun, read_each
from acl_lightning.studies.report import Report
from acl_lightning.studies.statistics import Spread, spread
from acl_lightning.studies.tables import Row, Table

#: Number of samples in each panel of the figure; runs that stored the same samples show the same ones.
MAP_ROWS = 500


@dataclass(frozen=True)
class MeasuredGroup:
    """Runs that differ in the seed only, and the measures of each.

    Attributes:
        group: The runs.
        records: Measures and embeddings of each run.
    """

    group: Group
    records: tuple[RepresentationRecord, ...]


def embeddings(directories: Sequence[Path], names: Sequence[str] | None = None, layer: int | None = None) -> Report:
    """Compare finished runs of one task by what the callback `RepresentationDiagnostics` measured.

    The report has `representation.csv` (a row per run and exit), `representation_summary.csv` (a row per group and
    exit), `representation.md` and `embeddings.png` (the first run of each group).

    Args:
        directories: Run directories.
        names: Names of the groups, see `group_runs`.
        layer: Exit in the figure. None: the deepest exit whose embeddings all runs stored.

    Raises:
        UserError: A run does not exist, is listed twice, is unfinished, is about another task or has no measures; the
            number of names is not the number of groups; not all runs stored the layer.
    """
    runs = [_finished(run) for run in read_each(directories)]
    check_one_task(runs)
    read = {run.directory: read_representation(run.directory) for run in runs}
    grouped = group_runs(runs, names)
    groups = [
        MeasuredGroup(group, tuple(read[run.directory] for run in group.runs)) for group in named_with_size(grouped)
    ]
    return Report(
        runs=runs,
        unfinished=[],
        tables=[measure_table(groups)],
        notes=cautions(grouped),
        csv_files={"representation.csv": exit_rows(groups), "representation_summary.csv": summary_rows(groups)},
        figures={"embeddings.png": map_figure(groups, layer)},
        summary="representation.md",
    )


def exit_rows(groups: Sequence[MeasuredGroup]) -> list[Row]:
    """Return a row per run and exit: the quality on the report split, as a fraction, and every measure."""
    return [
        {
            "group": measured.group.label,
            "run": run.name,
            "seed": run.seed,
            "train_rows": run.train_rows,
            "samples": record.samples,
            "exit_layer": layer,
            run.metric: run.exit_quality[layer],
            **measures,
        }
        for measured in groups
        for run, record in zip(measured.group.runs, measured.records, strict=True)
        for layer, measures in record.measures.items()
    ]


def summary_rows(groups: Sequence[MeasuredGroup]) -> list[Row]:
    """Return a row per group and exit: n, and `MEASURE_mean` and `MEASURE_std` over the runs."""
    rows: list[Row] = []
    for measured, layer, values in _over_seeds(groups):
        row: Row = {"group": measured.group.label, "n": len(measured.records), "exit_layer": layer}
        for name, value in values.items():
            row |= value.columns(name)
        rows.append(row)
    return rows


def _finished(run: Run | UnfinishedRun) -> Run:
    if isinstance(run, UnfinishedRun):
        raise UserError("finished runs", f"{run.name} ({run.status}: {run.reason})", "Leave it out, or see its log.")
    return run


def measure_table(groups: Sequence[MeasuredGroup]) -> Table:
    """Return mean and standard deviation of the measures of every group and exit, as a table for people."""
    run, samples = groups[0].group.runs[0], groups[0].records[0].samples
    sizes = run.report.samples
    rows = [
        [
            measured.group.label,
            str(len(measured.records)),
            str(layer),
            *(value.text(100 if name == run.metric else 1) for name, value in values.items()),
        ]
        for measured, layer, values in _over_seeds(groups)
    ]
    measures = [name.replace("_", " ") for name in next(_over_seeds(groups))[2]]
    return Table(
        f"{run.task}: {run.metric} in % on the {sizes.report_name} ({sizes.report} samples), measures on "
        f"{samples} validation samples, mean ± sample standard deviation over n seeds",
        ["group", "n", "exit", *measures],
        rows,
    )


def _over_seeds(groups: Sequence[MeasuredGroup]) -> Iterator[tuple[MeasuredGroup, int, dict[str, Spread]]]:
    for measured in groups:
        runs = measured.group.runs
        for layer, measures in measured.records[0].measures.items():
            values = {runs[0].metric: spread([run.exit_quality[layer] for run in runs])}
            for name in measures:
                values[name] = spread([record.measures[layer][name] for record in measured.records])
            yield measured, layer, values


def map_figure(groups: Sequence[MeasuredGroup], layer: int | None) -> Figure:
    """Draw the samples at an exit for the first run of each group.

    Args:
        groups: Groups of one task.
        layer: Layer of the exit. None: the deepest exit whose embeddings all of these runs stored.

    Raises:
        UserError: Not all of these runs stored the layer.
    """
    firsts = [(measured.group.runs[0], measured.records[0]) for measured in groups]
    common = sorted(set.intersection(*(set(record.layers) for _, record in firsts)))
    drawn = common[-1] if layer is None and common else layer
    if drawn is None or drawn not in common:
        stored = "; ".join(f"{run.name}: {', '.join(map(str, record.layers))}" for run, record in firsts)
        expected = "an exit" if layer is None else f"exit {layer}"
        raise UserError(
            f"{expected} whose embeddings all runs stored", stored, "Set --layer, or `layers` of the callback."
        )
    run, record = firsts[0]
    return embedding_map_figure(
        [_column(measured, drawn) for measured in groups],
        record.label_names,
        title=f"{run.task}, exit {drawn}, "
        f"{min(MAP_ROWS, record.samples)} of {record.samples} validation samples, one seed of each",
    )


def _column(measured: MeasuredGroup, layer: int) -> EmbeddingMap:
    first = measured.records[0]
    position = first.layers.index(layer)
    labels_n = first.arrays["labels_n"]
    drawn = np.sort(np.random.default_rng(0).permutation(len(labels_n))[:MAP_ROWS])
    return EmbeddingMap(
        title=f"{measured.group.label}, seed {measured.group.runs[0].seed}",
        vectors_nD=first.arrays["vectors_KnD"][position, drawn].astype(np.float64),
        labels_n=labels_n[drawn].astype(np.int64),
        label_vectors_CD=first.arrays["label_vectors_KCD"][position].astype(np.float64),
        measures={name: np.nan if value is None else value for name, value in first.measures[layer].items()},
    )
