"""Tables of a study: mean and standard deviation of every method, marked by corrected paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from acl_lightning.studies.comparison.measures import known_measure
from acl_lightning.studies.comparison.paired import holm
from acl_lightning.studies.comparison.specification import TableSpecification
from acl_lightning.studies.comparison.values import EXITS, MethodValues, Pairs, StudyValues, average, expanded, pair


@dataclass(frozen=True)
class TableCell:
    """Cell of a table.

    Attributes:
        values: The measure of the method in the column.
        is_best: Whether the mean is the highest of its column and significantly higher than every other mean there.
        differs: Whether it differs significantly from the baseline.
    """

    values: MethodValues
    is_best: bool = False
    differs: bool = False


@dataclass(frozen=True)
class Comparison:
    """Comparison of a method with the baseline.

    Attributes:
        row: Label of the method.
        column: Heading of the column of the table.
        condition: Heading of the column of the study.
        measure: Name of the measure.
        pairs: Paired difference, method minus baseline.
        p_holm: p-value, corrected for the comparisons of the table; None without a test.
        detectable: Smallest true difference that the table could have shown with a probability of 0.8.
    """

    row: str
    column: str
    condition: str
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


def method_tables(specification: TableSpecification, values: StudyValues) -> list[MethodTable]:
    """Return a table per measure with a column per column of the study; for `exits` a table per column with all exits.

    Args:
        specification: Content of `table.yaml`.
        values: Measures of all cells.
    """
    tables = []
    for measure, heading in specification.measures.items():
        if measure != EXITS:
            columns = {
                column.heading or heading: [values.of(row, column, measure) for row in values.rows]
                for column in values.columns
            }
            if specification.average and len(columns) > 1:
                columns["average"] = [average(parts) for parts in zip(*columns.values(), strict=True)]
            tables.append(_table(specification, columns, heading))
            continue
        for column in values.columns:
            columns = {
                name.replace("_", " "): [values.of(row, column, name) for row in values.rows]
                for name in expanded([EXITS], values.results(column) or values.results())
            }
            if columns:
                tables.append(_table(specification, columns, ", ".join(filter(None, (column.heading, heading)))))
    return tables


def _table(specification: TableSpecification, columns: dict[str, list[MethodValues]], heading: str) -> MethodTable:
    comparisons = _comparisons(specification, columns)
    differing = {
        (comparison.row, comparison.column)
        for comparison in comparisons
        if comparison.p_holm is not None and comparison.p_holm < specification.level
    }
    methods = next(iter(columns.values()))
    level = specification.level / max(1, (len(methods) - 1) * len(columns))
    best = {text: _best(column, level) for text, column in columns.items()}
    cells = tuple(
        tuple(
            TableCell(column[number], best[text] == number, (method.row, text) in differing)
            for text, column in columns.items()
        )
        for number, method in enumerate(methods)
    )
    return MethodTable(
        title=": ".join(filter(None, (specification.title, heading))),
        is_quality=known_measure(methods[0].measure),
        rows=tuple(method.row for method in methods),
        columns=tuple(columns),
        cells=cells,
        comparisons=tuple(comparisons),
        tests=sum(comparison.p_holm is not None for comparison in comparisons),
    )


def _comparisons(specification: TableSpecification, columns: dict[str, list[MethodValues]]) -> list[Comparison]:
    """Return the comparisons of all other rows with the baseline, corrected for their number."""
    if specification.baseline is None:
        return []
    comparisons = []
    for text, column in columns.items():
        baseline = next(method for method in column if method.row == specification.baseline)
        comparisons += [
            Comparison(method.row, text, method.condition, method.measure, pair(method, baseline))
            for method in column
            if method is not baseline and method.trials and baseline.trials
        ]
    p_values = [p for comparison in comparisons if (p := comparison.pairs.p) is not None]
    adjusted, level = iter(holm(p_values)), specification.level / max(1, len(p_values))
    return [
        comparison
        if comparison.pairs.difference is None or comparison.pairs.p is None
        else replace(comparison, p_holm=next(adjusted), detectable=comparison.pairs.difference.detectable(level))
        for comparison in comparisons
    ]


def _best(column: Sequence[MethodValues], level: float) -> int | None:
    """Return the number of the highest mean, if it differs at this level from every other mean of the column.

    At the level of the table divided by (rows - 1) * columns, the probability of marking any method that is not the
    best stays below the level of the table. Of logged values it is unknown whether more is better, so none is marked.
    """
    if not known_measure(column[0].measure):
        return None
    means = {
        number: spread.mean
        for number, method in enumerate(column)
        if (spread := method.spread) is not None and spread.mean is not None
    }
    if len(means) < 2:
        return None
    best = max(means, key=lambda number: means[number])
    p_values = [pair(column[best], column[number]).p for number in means if number != best]
    return best if all(p is not None and p < level for p in p_values) else None
