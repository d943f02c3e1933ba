"""The summary as tables to read, in a terminal or in Markdown, with everything a reader should be wary of."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acl_lightning.studies.grouping import Group, comparisons, names_explained
from acl_lightning.studies.run_record import UnfinishedRun
from acl_lightning.studies.spread import Spread, spread
from acl_lightning.studies.tables import measures

#: Columns of the operating points: measure, heading, factor, decimals.
POINT_COLUMNS = (
    ("quality", "quality", 100.0, 1),
    ("loss_points", "loss in points", 1.0, 1),
    ("layer_speedup", "layer speed-up", 1.0, 2),
    ("flops_speedup", "FLOPs speed-up", 1.0, 2),
)


def tables(groups: Sequence[Group]) -> list[Table]:
    """Two tables per task and training size: every exit's quality, and what the recommended points buy and cost."""
    return [table for alike in comparisons(groups).values() for table in (_exits(alike), _points(alike))]


def notes(groups: Sequence[Group], unfinished: Sequence[UnfinishedRun]) -> list[str]:
    """What limits the tables: groups of one run, repeated seeds, several commits, changed files, absent runs."""
    found = names_explained(groups)
    single = sum(len(group.runs) == 1 for group in groups)
    if single:
        found.append(f"{single} of {len(groups)} groups have one run (n = 1) and therefore no spread.")
    found += [
        f"{_name(group)}, {group.label}: seed {', '.join(map(str, group.repeated_seeds))} occurs more than once."
        for group in groups
        if group.repeated_seeds
    ]
    runs = [run for group in groups for run in group.runs]
    states = [run.result.get("git") or {} for run in runs]
    if len({state.get("commit") for state in states}) > 1:
        found.append("The runs come from more than one commit; see runs.csv.")
    changed = [run.name for run, state in zip(runs, states, strict=True) if state.get("dirty")]
    if changed:
        found.append(f"Run with uncommitted changes: {', '.join(changed)}.")
    return found + [f"No result from {one.name} ({one.status}): {one.reason}." for one in unfinished]


def markdown(groups: Sequence[Group], unfinished: Sequence[UnfinishedRun]) -> str:
    """Tables and notes as Markdown, to be pasted into a README."""
    parts = []
    for table in tables(groups):
        title, table.title = str(table.title), None
        table.box, table.show_edge, table.collapse_padding = box.MARKDOWN, True, False
        console = Console(file=io.StringIO(), width=1000, force_terminal=False)
        console.print(table)
        assert isinstance(console.file, io.StringIO)
        lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
        parts += [f"{title}:", "\n".join(line for line in lines if line)]
    listed = "\n".join(f"- {note}" for note in notes(groups, unfinished))
    return "\n\n".join([*parts, listed]).rstrip() + "\n"


def show(console: Console, groups: Sequence[Group], unfinished: Sequence[UnfinishedRun]) -> None:
    """Print tables and notes."""
    for table in tables(groups):
        console.print(table, "")
    for note in notes(groups, unfinished):
        console.print(Text(note, style="yellow"))


def _exits(groups: Sequence[Group]) -> Table:
    layers = sorted({int(layer) for group in groups for layer in group.runs[0].result["exit_layers"]})
    table = _table(f"{_heading(groups)}, at each exit")
    for layer in layers:
        table.add_column(f"exit {layer}", justify="right")
    for group in groups:
        cells = (_percent(_over_seeds(group, f"exit_{layer}")) for layer in layers)
        table.add_row(group.label, str(len(group.runs)), *cells)
    return table


def _points(groups: Sequence[Group]) -> Table:
    table = _table(f"{_heading(groups)}, at the recommended points")
    table.add_column("point", no_wrap=True)
    for _, heading, _, _ in POINT_COLUMNS:
        table.add_column(heading, justify="right")
    for group in groups:
        table.add_row(group.label, str(len(group.runs)), "full depth", _percent(_over_seeds(group, "full_depth")))
        for name in group.runs[0].result["recommended"]:
            cells = (
                _plus_minus(_over_seeds(group, f"{name}_{measure}"), factor, digits)
                for measure, _, factor, digits in POINT_COLUMNS
            )
            table.add_row("", "", name, *cells)
    return table


def _heading(groups: Sequence[Group]) -> str:
    results = [group.runs[0].result for group in groups]
    samples = _each_once(result["samples"]["report"] for result in results)
    return (
        f"{_name(groups[0])}: {_each_once(result['metric'] for result in results)} in % on the report half "
        f"({samples} samples), mean ± sample standard deviation over n seeds"
    )


def _name(group: Group) -> str:
    return f"{group.task}, {group.train_rows} training rows"


def _each_once(values: Iterable[object]) -> str:
    return " or ".join(dict.fromkeys(str(value) for value in values))


def _over_seeds(group: Group, measure: str) -> Spread | None:
    values = [measures(run) for run in group.runs]
    return spread([one[measure] for one in values]) if measure in values[0] else None


def _percent(value: Spread | None) -> str:
    return _plus_minus(value, 100.0, 1)


def _plus_minus(value: Spread | None, factor: float, digits: int) -> str:
    if value is None:
        return ""
    if value.mean is None:
        return "undefined"
    mean = f"{factor * value.mean:.{digits}f}"
    return mean if value.std is None else f"{mean} ± {factor * value.std:.{digits}f}"


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    table.add_column("group", overflow="fold")
    table.add_column("n", justify="right")
    return table
