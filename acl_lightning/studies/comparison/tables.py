"""Tables of a study: mean and standard deviation of every method, marked by corrected paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from acl_lightning.studies.comparison.cells import Column
from acl_lightning.studies.comparison.measures import known_measure
from acl_lightning.studies.comparison.paired import holm
from acl_lightning.studies.comparison.specification import TableSpecification
from acl_lightning.studies.comparison.values import EXITS, CellValues, Pairs, expanded, pair
from acl_lightning.studies.statistics import Spread


@dataclass(frozen=True)
class TableCell:
    """Cell of a table.

    Attributes:
        spread: Mean and standard deviation over the finished trials; None without any.
        trials: Number of trials that the sweep defines for the cell; 0 where it defines none.
        states: State of the trials without a result -> their number.
        is_best: Whether the mean is the highest of its column and significantly higher than every other mean there.
        differs: Whether it differs significantly from the baseline.
        setting: Selected setting; empty where there was nothing to select.
    """

    spread: Spread | None
    trials: int
    states: Mapping[str, int]
    is_best: bool = False
    differs: bool = False
    setting: str = ""


@dataclass(frozen=True)
class Comparison:
    """Comparison of a method with the baseline.

    Attributes:
        row: Label of the method.
        column: Heading of the column.
        measure: Name of the measure.
        pairs: Paired difference, method minus baseline.
        p_holm: p-value, corrected for the comparisons of the table; None without a test.
        detectable: Smallest true difference that the table could have shown with a probability of 0.8.
    """

    row: str
    column: str
    measure: str
    pairs: Pairs
    p_holm: float | None = None
    detectable: float | None = None


@dataclass(frozen=True)
class MethodTable:
    """Table with a row per method.

    Attributes:
        title: What the table shows.
        is_quality: Whether the values are fractions of a metric, which are shown in percent.
        rows: Labels of the methods.
        columns: Headings.
        cells: Cells of each row.
        comparisons: Comparisons with the baseline.
        tests: Number of comparisons that the p-values are corrected for.
    """

    title: str
    is_quality: bool
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[TableCell, ...], ...]
    comparisons: tuple[Comparison, ...]
    tests: int


#: Heading of a column of a table, the column of the study, and the measure that it shows.
_Shown = tuple[str, Column, str]


def method_tables(specification: TableSpecification, values: Sequence[CellValues]) -> list[MethodTable]:
    """Return a table per measure with a column per column of the study; for `exits` a table per column with all exits.

    Args:
        specification: Content of `table.yaml`.
        values: Measures of all cells.
    """
    columns = list(dict.fromkeys(value.cell.column for value in values))
    tables = []
    for measure, heading in specification.measures.items():
        if measure != EXITS:
            shown = [(column.heading or heading, column, measure) for column in columns]
            tables.append(_table(specification, values, shown, heading))
            continue
        for column in columns:
            results = [result for value in values if value.cell.column == column for result, _ in value.trials]
            names = expanded([EXITS], results)
            shown = [(name.replace("_", " "), column, name) for name in names]
            if shown:
                tables.append(_table(specification, values, shown, ", ".join(filter(None, (column.heading, heading)))))
    return tables


def _table(
    specification: TableSpecification, values: Sequence[CellValues], shown: Sequence[_Shown], heading: str
) -> MethodTable:
    place = {(value.cell.row.label, value.cell.column): value for value in values}
    labels = list(dict.fromkeys(value.cell.row.label for value in values))
    comparisons = _comparisons(specification, place, labels, shown)
    differing = {
        (comparison.row, comparison.column)
        for comparison in comparisons
        if comparison.p_holm is not None and comparison.p_holm < specification.level
    }
    tests = sum(comparison.p_holm is not None for comparison in comparisons)
    level = specification.level / max(1, (len(labels) - 1) * len(shown))
    best = {text: _best([place[label, column] for label in labels], measure, level) for text, column, measure in shown}
    cells = tuple(
        tuple(
            replace(
                _cell(place[label, column], measure),
                is_best=best[text] == label,
                differs=(label, text) in differing,
            )
            for text, column, measure in shown
        )
        for label in labels
    )
    return MethodTable(
        title=": ".join(filter(None, (specification.title, heading))),
        is_quality=known_measure(shown[0][2]),
        rows=tuple(labels),
        columns=tuple(text for text, *_ in shown),
        cells=cells,
        comparisons=tuple(comparisons),
        tests=tests,
    )


def _comparisons(
    specification: TableSpecification,
    place: Mapping[tuple[str, Column], CellValues],
    labels: Sequence[str],
    shown: Sequence[_Shown],
) -> list[Comparison]:
    """Return the comparisons of all other rows with the baseline, corrected for their number."""
    baseline = specification.baseline
    if baseline is None:
        return []
    raw = [
        Comparison(label, text, measure, pair(place[label, column], place[baseline, column], measure))
        for text, column, measure in shown
        for label in labels
        if label != baseline and place[label, column].cell.settings and place[baseline, column].cell.settings
    ]
    tested = [comparison for comparison in raw if _p(comparison.pairs) is not None]
    adjusted = iter(holm([p for comparison in tested if (p := _p(comparison.pairs)) is not None]))
    level = specification.level / max(1, len(tested))
    return [
        comparison
        if comparison.pairs.difference is None or _p(comparison.pairs) is None
        else replace(comparison, p_holm=next(adjusted), detectable=comparison.pairs.difference.detectable(level))
        for comparison in raw
    ]


def _p(pairs: Pairs) -> float | None:
    return None if pairs.difference is None else pairs.difference.p


def _best(column: Sequence[CellValues], measure: str, level: float) -> str | None:
    """Return the label of the highest mean, if it differs at this level from every other mean of the column.

    At the level of the table divided by (rows - 1) * columns, the probability of marking any method that is not the
    best stays below the level of the table. Of logged values it is unknown whether more is better, so none is marked.
    """
    if not known_measure(measure):
        return None
    means = {
        number: spread.mean
        for number, values in enumerate(column)
        if (spread := values.spread(measure)) is not None and spread.mean is not None
    }
    if len(means) < 2:
        return None
    best = max(means, key=lambda number: means[number])
    for number in means:
        p = _p(pair(column[best], column[number], measure)) if number != best else 0.0
        if p is None or not p < level:
            return None
    return column[best].cell.row.label


def _cell(values: CellValues, measure: str) -> TableCell:
    shown = values.cell.shown
    if shown is None:
        return TableCell(None, 0, {})
    return TableCell(values.spread(measure), shown.trials, shown.states, setting=shown.parameters)
