"""Figures and tables of a report beside the method tables: curves, angles of gradients, embeddings.

They show the trials of the selected settings, one section per column of the study.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from matplotlib.figure import Figure

from acl_lightning.errors import UserError
from acl_lightning.figures.seed_curves import SeedCurve, criterion_panels_figure, seed_curves_figure
from acl_lightning.runs.names import REPRESENTATION
from acl_lightning.runs.records import read_representation
from acl_lightning.studies.comparison.columns import Column
from acl_lightning.studies.comparison.specification import TableSpecification
from acl_lightning.studies.comparison.trial_results import TrialResult
from acl_lightning.studies.comparison.values import StudyValues
from acl_lightning.studies.conflicts import angle_figures, angle_table
from acl_lightning.studies.curves.comparison import mean_curve, mean_oracle
from acl_lightning.studies.curves.seed_curves import mean_static_exits, seed_curve
from acl_lightning.studies.curves.stored_curves import StoredCurve, read_curve
from acl_lightning.studies.curves.study import AXES
from acl_lightning.studies.embeddings import MeasuredGroup, map_figure, measure_table
from acl_lightning.studies.gradient_rows import RecordedGroup, angle_rows
from acl_lightning.studies.grouping import Group
from acl_lightning.studies.reading import GradientRecord, Run, read_gradients
from acl_lightning.studies.statistics import spread
from acl_lightning.studies.tables import Table

#: Largest number of curves in a figure.
CURVES = 8


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


def sections(specification: TableSpecification, values: StudyValues) -> Iterator[Section]:
    """Yield the sections that the trials have data for: curves, criteria, angles, embeddings.

    Args:
        specification: Content of `table.yaml`.
        values: Measures of all cells.
    """
    methods = {column: _methods(values, column) for column in values.columns}
    for make in (
        partial(_curves, specification),
        partial(_criteria, specification),
        _angles,
        _logged_angles,
        _embeddings,
    ):
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


def _curves(specification: TableSpecification, column: Column, methods: Sequence[_Method]) -> Section | None:
    several, plain = _by_exits(methods)
    if not several:
        return None
    first = several[0][1][0].curve
    criteria = dict.fromkeys(results[0].curve.criterion.name for _, results in several)
    title = f"{column.heading or first.run.task}, criterion {' or '.join(criteria)}, report split"
    figures = {}
    for speed in specification.curve_speeds:
        curves = {
            _curve_label(group, results, criteria): replace(
                mean_curve(group, [result.curve for result in results], results[0].curve.criterion.name, speed),
                oracle=(),
            )
            for group, results in several
        }
        for names in _portions(list(curves)):
            figure = seed_curves_figure(
                {name: curves[name] for name in names},
                metric=first.run.metric,
                title=title,
                speed=AXES[speed],
                cut=mean_static_exits(plain, speed),
            )
            figures[f"Quality over {AXES[speed]} of {'; '.join(names)}"] = figure
    return Section(_heading("Speed-quality curves", column), figures)


def _criteria(specification: TableSpecification, column: Column, methods: Sequence[_Method]) -> Section | None:
    """Return the curves of every method under each of the criteria of the table, and the areas under them."""
    several, plain = _by_exits(methods)
    if not several or not specification.curve_criteria:
        return None
    stored, excluded = _stored(specification.curve_criteria, several)
    if not stored:
        return None
    panels: dict[str, dict[str, dict[str, SeedCurve]]] = {speed: {} for speed in specification.curve_speeds}
    rows = []
    for number, (group, results) in enumerate(several):
        curves = {name: of_methods[number] for name, of_methods in stored.items()}
        areas = [spread([curve.area for curve in alike]).text(100, 1) for alike in curves.values()]
        rows.append([group.label, str(len(results)), *areas])
        for speed, by_method in panels.items():
            by_method[group.label] = {name: _mean_line(group, alike, speed) for name, alike in curves.items()}
    first = several[0][1][0].curve.run
    figures = {
        f"Quality over {AXES[speed]} of each method under each criterion": criterion_panels_figure(
            by_method,
            metric=first.metric,
            title=f"{column.heading or first.task}, report split, mean over seeds",
            speed=AXES[speed],
            cut=mean_static_exits(plain, speed),
        )
        for speed, by_method in panels.items()
    }
    title = f"Area under the curve of each criterion: {first.metric} in %, mean ± standard deviation over n seeds"
    headings = ["method", "n", *(name.replace("_", " ") for name in stored)]
    table = Table(title, headings, rows, frozenset({"method"}))
    return Section(_heading("Exit criteria", column), figures, (table,), excluded)


def _stored(
    names: Sequence[str], methods: Sequence[_Method]
) -> tuple[dict[str, list[list[StoredCurve]]], tuple[str, ...]]:
    """Return criterion -> curves of each method, and a note for each criterion whose outputs a run lacks."""
    stored: dict[str, list[list[StoredCurve]]] = {}
    notes = []
    for name in names:
        try:
            stored[name] = [[read_curve(result.curve.run, name) for result in results] for _, results in methods]
        except UserError as error:
            notes.append(f"No curves of {name}: expected {error.expected}; found {error.found}.")
    return stored, tuple(notes)


def _mean_line(group: Group, curves: Sequence[StoredCurve], speed: str) -> SeedCurve:
    """Return the mean curve of a criterion with its upper bound, without a band."""
    runs = tuple(curve.run for curve in curves)
    mean = seed_curve(replace(group, runs=runs), curves[0].criterion.name, speed)
    return replace(mean, std=None, oracle=mean_oracle(curves, speed))


def _by_exits(methods: Sequence[_Method]) -> tuple[list[_Method], list[Run]]:
    """Return the methods with several exits, and the runs of plain models."""
    several = [method for method in methods if len(method[1][0].curve.static) > 1]
    plain = [run for group, results in methods if len(results[0].curve.static) == 1 for run in group.runs]
    return several, plain


def _curve_label(group: Group, results: Sequence[TrialResult], criteria: Collection[str]) -> str:
    """Return the label of a method, with its criterion where the methods of the figure have several."""
    return group.label if len(criteria) == 1 else f"{group.label}, {results[0].curve.criterion.name}"


def _portions(names: Sequence[str]) -> list[list[str]]:
    """Return the names of the curves of each figure: the first in all of them, so that each has a reference."""
    first, *others = names
    return [[first, *others[start : start + CURVES - 1]] for start in range(0, max(1, len(others)), CURVES - 1)]


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
