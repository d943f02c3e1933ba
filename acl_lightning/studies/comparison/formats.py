"""Tables of a study as text: Markdown, LaTeX and rows of CSV files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from acl_lightning.studies.comparison.caption import MARK
from acl_lightning.studies.comparison.tables import Comparison, MethodTable, TableCell
from acl_lightning.studies.tables import Row, Table

#: Characters with a meaning in LaTeX -> their source. A bracket after the end of a row would be its argument.
LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"{{{character}}}" for character in "[]*"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    MARK: r"$^\dagger$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}

#: Text of a cell for which the sweep defines no trial, or whose trials do not have the measure.
ABSENT = "-"


def cell_text(cell: TableCell, *, is_quality: bool) -> str:
    """Return `81.2 ± 0.4 (5)†`; `81.2 ± 0.4 (3/5)` with missing trials; `missing`, `stale` or `failed` without any.

    Args:
        cell: The cell.
        is_quality: Whether the value is a fraction, shown in percent.
    """
    values, spread = cell.values, cell.values.spread
    unfinished = sum(values.states.values())
    if spread is None:
        if not values.trials or unfinished < values.trials:
            return ABSENT
        states = ["missing" if state in {"waiting", "running"} else state for state in values.states]
        return ", ".join(dict.fromkeys(states))
    count = spread.n if spread.n == values.trials else f"{spread.n}/{values.trials}"
    stale = ", stale" if "stale" in values.states else ""
    small = spread.mean is not None and abs(spread.mean) < 1  # as precise as the differences
    value = spread.text(100, 1) if is_quality else spread.text(digits=3 if small else None)
    return f"{value} ({count}{stale}){MARK if cell.differs else ''}"


def text_tables(table: MethodTable, baseline: str | None, level: float) -> list[Table]:
    """Return a table as text: the methods, and their differences from the baseline.

    A table of one column has both side by side; otherwise the differences are a separate table. A comparison of
    which a side has no result is left out.

    Args:
        table: The table.
        baseline: Label of the baseline; None for no comparisons.
        level: 1 - coverage of the intervals.
    """
    methods = method_table(table)
    measured = {
        (row, column)
        for row, cells in zip(table.rows, table.cells, strict=True)
        for column, cell in zip(table.columns, cells, strict=True)
        if cell.values.by_seed
    }
    comparisons = [
        item for item in table.comparisons if {(item.row, item.column), (str(baseline), item.column)} <= measured
    ]
    if baseline is None or not comparisons:
        return [methods]
    differences = comparison_table(replace(table, comparisons=tuple(comparisons)), baseline, level)
    if len(table.columns) > 1:
        return [methods, differences]
    by_row = {row[0]: row[2:] for row in differences.rows}
    rows = [[*row, *by_row.get(row[0], [])] for row in methods.rows]
    return [Table(table.title, [*methods.headings, *differences.headings[2:]], rows, methods.left)]


def method_table(table: MethodTable) -> Table:
    """Return the values of the methods, with the best values in bold (`**VALUE**`)."""
    rows = [
        [label, *(_value_text(cell, is_quality=table.is_quality) for cell in cells)]
        for label, cells in zip(table.rows, table.cells, strict=True)
    ]
    return Table(table.title, ["method", *table.columns], rows, frozenset({"method"}))


def comparison_table(table: MethodTable, baseline: str, level: float) -> Table:
    """Return the comparisons with the baseline; differences, intervals and detectable differences in points.

    Args:
        table: A table.
        baseline: Label of the baseline.
        level: 1 - coverage of the intervals.
    """
    scale = 100.0 if table.is_quality else 1.0
    coverage = f"{100 * (1 - level):g} % interval"
    headings = ["method", "column", "pairs", "difference", coverage, "p", "p (Holm)", "detectable"]
    rows = [_comparison_cells(comparison, scale, level) for comparison in table.comparisons]
    title = f"Differences from {baseline}{' in points' if table.is_quality else ''}: {table.title}"
    return Table(title, headings, rows, frozenset({"method", "column"}))


def _comparison_cells(comparison: Comparison, scale: float, level: float) -> list[str]:
    difference = comparison.pairs.difference
    if difference is None:
        return [comparison.row, comparison.column, "0", "no pair"]
    if math.isnan(difference.difference):
        return [comparison.row, comparison.column, str(difference.seeds), "undefined"]
    interval, digits = difference.interval(level), 2 if scale == 100 else 3
    return [
        comparison.row,
        comparison.column,
        str(difference.seeds),
        f"{scale * difference.difference:+.{digits}f}",
        "" if interval is None else " to ".join(f"{scale * bound:+.{digits}f}" for bound in interval),
        *(_p_text(p) for p in (comparison.pairs.p, comparison.p_holm)),
        _detectable_text(comparison.detectable, scale, digits),
    ]


def _detectable_text(detectable: float | None, scale: float, digits: int) -> str:
    """Return a detectable difference; `> 100` points where no difference of two metrics could be shown."""
    if detectable is None:
        return ""
    return "> 100" if scale == 100 and detectable > 1 else f"{scale * detectable:.{digits}f}"


def _p_text(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _value_text(cell: TableCell, *, is_quality: bool) -> str:
    text = cell_text(cell, is_quality=is_quality)
    return f"**{text}**" if cell.is_best else text


def latex(table: Table, caption: str, label: str) -> str:
    """Return a LaTeX table for the package booktabs.

    Args:
        table: The table.
        caption: Its caption, as plain text.
        label: Label for references.
    """
    heading, *rows = [
        " & ".join(map(_latex_cell, [*row, *[""] * (len(table.headings) - len(row))])) + r" \\"
        for row in (table.headings, *table.rows)
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{{''.join('l' if name in table.left else 'r' for name in table.headings)}}}",
            r"\toprule",
            heading,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _latex_cell(text: str) -> str:
    return rf"\textbf{{{_escaped(text.strip('*'))}}}" if text.startswith("**") else _escaped(text)


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def table_rows(tables: Sequence[MethodTable]) -> list[Row]:
    """Return a row of `table.csv` per cell of all tables. Qualities are fractions."""
    return [
        {
            "table": table.title,
            "method": label,
            "column": column,
            "measure": cell.values.measure,
            "mean": None if (spread := cell.values.spread) is None else spread.mean,
            "std": None if spread is None else spread.std,
            "n": 0 if spread is None else spread.n,
            "trials": cell.values.trials,
            **{f"trials_{state}": count for state, count in cell.values.states.items()},
            "setting": cell.values.setting,
            "best": str(cell.is_best).lower(),
            "differs_from_baseline": str(cell.differs).lower(),
        }
        for table in tables
        for label, cells in zip(table.rows, table.cells, strict=True)
        for column, cell in zip(table.columns, cells, strict=True)
    ]


def comparison_rows(tables: Sequence[MethodTable], baseline: str | None, level: float) -> list[Row]:
    """Return a row of `comparisons.csv` per comparison with the baseline; all differences as fractions.

    Args:
        tables: All tables.
        baseline: Label of the baseline.
        level: 1 - coverage of the interval `low` to `high`.
    """
    rows: list[Row] = []
    for table in tables:
        for comparison in table.comparisons:
            row: Row = {
                "table": table.title,
                "method": comparison.row,
                "baseline": baseline,
                "column": comparison.column,
                "measure": comparison.measure,
                "pairs": 0,
                "samples": comparison.pairs.samples,
                "comparisons": table.tests,
                "seeds_without_partner": " ".join(comparison.pairs.unpaired),
                "seeds_of_other_samples": " ".join(comparison.pairs.refused),
            }
            difference = comparison.pairs.difference
            if difference is not None:
                low, high = difference.interval(level) or (None, None)
                row |= {
                    "pairs": difference.seeds,
                    "difference": difference.difference,
                    "standard_error": difference.standard_error,
                    "degrees": None if math.isinf(difference.degrees) else difference.degrees,
                    "low": low,
                    "high": high,
                    "p": comparison.pairs.p,
                    "p_holm": comparison.p_holm,
                    "detectable": comparison.detectable,
                }
            rows.append(row)
    return rows
