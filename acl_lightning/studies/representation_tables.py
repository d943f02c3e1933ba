"""Measures of representations over runs: a row per run and exit, and their mean and deviation over seeds."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from acl_lightning.studies.representation_record import Representation
from acl_lightning.studies.spread import Spread, spread
from acl_lightning.studies.tables import Row


@dataclass(frozen=True)
class Compared:
    """Runs that differ in the seed alone, under the name that the study gives them.

    Attributes:
        name: for tables and columns.
        members: at least one.
    """

    name: str
    members: tuple[Representation, ...]


def exit_rows(groups: Sequence[Compared]) -> list[Row]:
    """One row per run and exit: what it is, the quality there (a fraction, report half), and every measure."""
    return [
        {
            "group": group.name,
            "run": member.run.name,
            "seed": member.run.seed,
            "train_rows": member.run.train_rows,
            "samples": member.samples,
            "exit_layer": layer,
            member.run.result["metric"]: member.quality(layer),
            **measures,
        }
        for group in groups
        for member in group.members
        for layer, measures in member.measures.items()
    ]


def summary_rows(groups: Sequence[Compared]) -> list[Row]:
    """One row per group and exit: n, and `MEASURE_mean` and `MEASURE_std` over its runs; see `spread`."""
    rows: list[Row] = []
    for group, layer, values in _over_seeds(groups):
        row: Row = {"group": group.name, "n": len(group.members), "exit_layer": layer}
        for name, value in values.items():
            row |= {f"{name}_mean": value.mean, f"{name}_std": value.std}
        rows.append(row)
    return rows


def table(groups: Sequence[Compared]) -> Table:
    """The summary to read: mean ± sample standard deviation, the quality in percent."""
    first = groups[0].members[0]
    metric = first.run.result["metric"]
    found = Table(
        title=f"{first.run.task}: {metric} in % on the report half ({first.run.result['samples']['report']} samples), "
        f"measures on {first.samples} validation samples, mean ± sample standard deviation over n seeds",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        collapse_padding=True,
    )
    for heading in ("group", "n", "exit"):
        found.add_column(heading, justify="left" if heading == "group" else "right")
    columns = next(_over_seeds(groups))[2]
    for name in columns:
        found.add_column(name.replace("_", " "), justify="right")
    for group, layer, values in _over_seeds(groups):
        cells = [_plus_minus(value, 100 if name == metric else 1) for name, value in values.items()]
        found.add_row(group.name, str(len(group.members)), str(layer), *cells)
    return found


def markdown(groups: Sequence[Compared]) -> str:
    """The same table as Markdown, to be pasted into a README."""
    shown = table(groups)
    title, shown.title = str(shown.title), None
    shown.box, shown.show_edge, shown.collapse_padding = box.MARKDOWN, True, False
    text = io.StringIO()
    Console(file=text, width=1000, force_terminal=False).print(shown)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join([f"{title}:", "", *(line for line in lines if line)]) + "\n"


def _over_seeds(groups: Sequence[Compared]) -> Iterator[tuple[Compared, int, dict[str, Spread]]]:
    for group in groups:
        first = group.members[0]
        metric = first.run.result["metric"]
        for layer, measures in first.measures.items():
            values = {metric: spread([member.quality(layer) for member in group.members])}
            for name in measures:
                values[name] = spread([member.measures[layer][name] for member in group.members])
            yield group, layer, values


def _plus_minus(value: Spread, factor: float) -> str:
    if value.mean is None:
        return "undefined"
    digits = 1 if factor * abs(value.mean) >= 10 else 2
    mean = f"{factor * value.mean:.{digits}f}"
    return mean if value.std is None else f"{mean} ± {factor * value.std:.{digits}f}"
