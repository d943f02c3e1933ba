"""Study of embeddings: measures of the representation at every exit, and maps of the samples at one exit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from acl_lightning.errors import UserError
from acl_lightning.figures import EmbeddingMap, embedding_map_figure
from acl_lightning.studies.grouping import Group, cautions, check_one_task, group_runs, named_with_size
from acl_lightning.studies.reading import Representation, Run, UnfinishedRun, read_each, read_representation
from acl_lightning.studies.report import Report
from acl_lightning.studies.statistics import Spread, spread
from acl_lightning.studies.tables import Row, Table

#: Number of samples in each panel of the figure; runs that stored the same samples show the same ones.
MAP_ROWS = 500


@dataclass(frozen=True)
class MeasuredGroup:
    """Runs that differ in the seed only, and the representation of each.

    Attributes:
        group: The runs.
        members: Representation of each run.
    """

    group: Group
    members: tuple[Representation, ...]


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
    read = {run.directory: read_representation(run) for run in runs}
    grouped = group_runs(runs, names)
    groups = [
        MeasuredGroup(group, tuple(read[run.directory] for run in group.runs)) for group in named_with_size(grouped)
    ]
    return Report(
        runs=runs,
        unfinished=[],
        tables=[_table(groups)],
        notes=cautions(grouped),
        csv_files={"representation.csv": exit_rows(groups), "representation_summary.csv": summary_rows(groups)},
        figures={"embeddings.png": _figure(groups, layer)},
        summary="representation.md",
    )


def exit_rows(groups: Sequence[MeasuredGroup]) -> list[Row]:
    """Return a row per run and exit: the quality on the report split, as a fraction, and every measure."""
    return [
        {
            "group": measured.group.label,
            "run": member.run.name,
            "seed": member.run.seed,
            "train_rows": member.run.train_rows,
            "samples": member.samples,
            "exit_layer": layer,
            member.run.result["metric"]: member.quality(layer),
            **measures,
        }
        for measured in groups
        for member in measured.members
        for layer, measures in member.measures.items()
    ]


def summary_rows(groups: Sequence[MeasuredGroup]) -> list[Row]:
    """Return a row per group and exit: n, and `MEASURE_mean` and `MEASURE_std` over the runs."""
    rows: list[Row] = []
    for measured, layer, values in _over_seeds(groups):
        row: Row = {"group": measured.group.label, "n": len(measured.members), "exit_layer": layer}
        for name, value in values.items():
            row |= value.columns(name)
        rows.append(row)
    return rows


def _finished(run: Run | UnfinishedRun) -> Run:
    if isinstance(run, UnfinishedRun):
        raise UserError("finished runs", f"{run.name} ({run.status}: {run.reason})", "Leave it out, or see its log.")
    return run


def _table(groups: Sequence[MeasuredGroup]) -> Table:
    first = groups[0].members[0]
    metric, samples = first.run.result["metric"], first.run.result["samples"]["report"]
    rows = [
        [
            measured.group.label,
            str(len(measured.members)),
            str(layer),
            *(value.text(100 if name == metric else 1) for name, value in values.items()),
        ]
        for measured, layer, values in _over_seeds(groups)
    ]
    measures = [name.replace("_", " ") for name in next(_over_seeds(groups))[2]]
    return Table(
        f"{first.run.task}: {metric} in % on the report split ({samples} samples), measures on {first.samples} "
        "validation samples, mean ± sample standard deviation over n seeds",
        ["group", "n", "exit", *measures],
        rows,
    )


def _over_seeds(groups: Sequence[MeasuredGroup]) -> Iterator[tuple[MeasuredGroup, int, dict[str, Spread]]]:
    for measured in groups:
        members = measured.members
        metric = members[0].run.result["metric"]
        for layer, measures in members[0].measures.items():
            values = {metric: spread([member.quality(layer) for member in members])}
            for name in measures:
                values[name] = spread([member.measures[layer][name] for member in members])
            yield measured, layer, values


def _figure(groups: Sequence[MeasuredGroup], layer: int | None) -> Figure:
    firsts = [measured.members[0] for measured in groups]
    common = sorted(set.intersection(*(set(first.layers) for first in firsts)))
    drawn = common[-1] if layer is None and common else layer
    if drawn is None or drawn not in common:
        stored = "; ".join(f"{first.run.name}: {', '.join(map(str, first.layers))}" for first in firsts)
        expected = "an exit" if layer is None else f"exit {layer}"
        raise UserError(
            f"{expected} whose embeddings all runs stored", stored, "Set --layer, or `layers` of the callback."
        )
    samples = firsts[0].samples
    return embedding_map_figure(
        [_column(measured, drawn) for measured in groups],
        firsts[0].label_names,
        title=f"{firsts[0].run.task}, exit {drawn}, "
        f"{min(MAP_ROWS, samples)} of {samples} validation samples, one seed of each",
    )


def _column(measured: MeasuredGroup, layer: int) -> EmbeddingMap:
    first = measured.members[0]
    position = first.layers.index(layer)
    labels_n = first.arrays["labels_n"]
    drawn = np.sort(np.random.default_rng(0).permutation(len(labels_n))[:MAP_ROWS])
    return EmbeddingMap(
        title=f"{measured.group.label}, seed {first.run.seed}",
        vectors_nD=first.arrays["vectors_KnD"][position, drawn].astype(np.float64),
        labels_n=labels_n[drawn],
        label_vectors_CD=first.arrays["label_vectors_KCD"][position].astype(np.float64),
        measures={name: np.nan if value is None else value for name, value in first.measures[layer].items()},
    )
