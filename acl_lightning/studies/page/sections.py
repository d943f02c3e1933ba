"""Figures and tables of a report beside the method tables: curves, angles of gradients, embeddings.

They show the trials of the selected settings, one section per column of the study.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from acl_lightning.errors import UserError
from acl_lightning.figures.seed_curves import SeedCurve, seed_curves_figure
from acl_lightning.runs.names import REPRESENTATION
from acl_lightning.runs.records import read_representation
from acl_lightning.studies.comparison.columns import Column
from acl_lightning.studies.comparison.trial_results import TrialResult
from acl_lightning.studies.comparison.values import StudyValues
from acl_lightning.studies.conflicts import RecordedGroup, angle_figures, angle_rows, angle_table
from acl_lightning.studies.curves.comparison import mean_curve
from acl_lightning.studies.curves.seed_curves import mean_static_exits
from acl_lightning.studies.curves.study import AXES
from acl_lightning.studies.embeddings import MeasuredGroup, map_figure, measure_table
from acl_lightning.studies.grouping import Group
from acl_lightning.studies.reading import GradientRecord, Run, read_gradients
from acl_lightning.studies.statistics import spread
from acl_lightning.studies.tables import Table

#: Speed-up of the curves.
SPEED = "layer_speedup"


@dataclass(frozen=True)
class Section:
    """Part of a report.

    Attributes:
        heading: Heading.
        figures: Description -> figure.
        tables: Tables.
        notes: Sentences below.
    """

    heading: str
    figures: dict[str, Figure]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def sections(values: StudyValues) -> Iterator[Section]:
    """Yield the sections that the trials have data for: curves, then angles, then embeddings."""
    methods = {column: _methods(values, column) for column in values.columns}
    for make in (_curves, _angles, _logged_angles, _embeddings):
        for column, members in methods.items():
            section = make(column, members) if members else None
            if section is not None:
                yield section


#: Finished trials of a method, with its label.
_Method = tuple[Group, tuple[TrialResult, ...]]


def _methods(values: StudyValues, column: Column) -> list[_Method]:
    methods = []
    for cell in values.cells:
        if cell.column == column and cell.selected is not None and cell.selected.results:
            results = cell.selected.results
            first = results[0].curve.run
            runs = tuple(result.curve.run for result in results)
            methods.append((Group(first.task, first.train_rows, cell.row.label, runs), results))
    return methods


def _heading(text: str, column: Column) -> str:
    return ": ".join(filter(None, (text, column.heading)))


def _curves(column: Column, methods: Sequence[_Method]) -> Section | None:
    curves: dict[str, SeedCurve] = {}
    plain: list[Run] = []
    for group, results in methods:
        if len(results[0].curve.static) == 1:
            plain += group.runs
            continue
        stored = [result.curve for result in results]
        mean = mean_curve(group, stored, stored[0].criterion.name, SPEED)
        curves[group.label] = replace(mean, oracle=())
    cut = mean_static_exits(plain, SPEED)
    if not curves:
        return None
    first = methods[0][1][0].curve
    figure = seed_curves_figure(
        curves,
        metric=first.run.metric,
        title=f"{column.heading or first.run.task}, criterion {first.criterion.name}, report split",
        speed=AXES[SPEED],
        cut=cut,
    )
    heading = _heading("Speed-quality curves", column)
    return Section(heading, {f"Quality over layer speed-up of {', '.join(curves)}": figure})


def _angles(column: Column, methods: Sequence[_Method]) -> Section | None:
    recorded = []
    for group, _ in methods:
        read = [(run, read_gradients(run)) for run in group.runs]
        records = [(run, record) for run, record in read if isinstance(record, GradientRecord)]
        if records:
            runs, comparisons = zip(*records, strict=True)
            recorded.append(RecordedGroup(replace(group, runs=runs), comparisons))
    if not recorded:
        return None
    figures = {
        f"Angle to the gradient of the protected term at each recorded step ({number})": figure
        for number, figure in enumerate(angle_figures(recorded).values(), 1)
    }
    return Section(_heading("Angles between gradients", column), figures, (angle_table(angle_rows(recorded)),))


def _logged_angles(column: Column, methods: Sequence[_Method]) -> Section | None:
    rows = []
    for group, _ in methods:
        terms = [name.removeprefix("conflict_rate_") for name in group.runs[0].gradient_summary
                 if name.startswith("conflict_rate_")]  # fmt: skip
        for term in terms:
            numbers = [
                spread([run.gradient_summary.get(f"{name}_{term}") for run in group.runs])
                for name in ("angle_min", "angle_median", "angle_max", "conflict_rate")
            ]
            *angles, conflicts = numbers
            texts = [*(angle.text(1, 1) for angle in angles), conflicts.text(100, 1)]
            rows.append([group.label, term, str(len(group.runs)), *texts])
    if not rows:
        return None
    title = (
        "Angle to the gradient of the protected term, as logged during training, in degrees, and share of the steps "
        "in conflict in %; mean ± sample standard deviation over n seeds"
    )
    headings = ["method", "term", "n", "min", "median", "max", "conflicts"]
    table = Table(title, headings, rows, frozenset({"method", "term"}))
    return Section(_heading("Conflicts during training", column), {}, (table,))


def _embeddings(column: Column, methods: Sequence[_Method]) -> Section | None:
    measured = []
    for group, _ in methods:
        runs = tuple(run for run in group.runs if (run.directory / REPRESENTATION).exists())
        if runs:
            records = tuple(read_representation(run.directory) for run in runs)
            measured.append(MeasuredGroup(replace(group, runs=runs), records))
    if not measured:
        return None
    heading, table = _heading("Embeddings", column), measure_table(measured)
    try:
        figure = map_figure(measured, None)
    except UserError as error:
        return Section(heading, {}, (table,), (f"No map of the samples: {error.expected}; {error.found}.",))
    return Section(heading, {"Maps of the samples at one exit": figure}, (table,))
