"""Study of gradient conflicts: angles between loss terms, and whether cheaper scopes make the same decisions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from acl_lightning.figures import AnglePanel, gradient_angles_figure
from acl_lightning.studies.gradient_rows import RecordedGroup, agreement_rows, angle_rows, layer_rows
from acl_lightning.studies.grouping import cautions, comparisons, group_runs
from acl_lightning.studies.reading import (
    GradientRecord,
    Run,
    UnfinishedRun,
    none_finished,
    read_each,
    read_gradients,
)
from acl_lightning.studies.report import Report
from acl_lightning.studies.statistics import Spread
from acl_lightning.studies.tables import Row, Table

#: Resolution of the figures: many thin lines compress badly, and results are committed.
DPI = 80


def conflicts(directories: Sequence[Path], names: Sequence[str] | None = None) -> Report:
    """Compare runs by the gradients that the callback `GradientProbe` recorded.

    The report has `angles.csv` (a row per group and term), `agreement.csv` (per scope), `per_layer.csv` (per layer)
    and a figure `angles_TASK_ROWS.png` per task and training size. Runs without recorded gradients are listed.

    Args:
        directories: Run directories.
        names: Names of the groups, see `group_runs`.

    Raises:
        UserError: A run does not exist or is listed twice, no finished run has recorded gradients, or the number of
            names is not the number of groups.
    """
    records: dict[Path, GradientRecord] = {}
    runs: list[Run] = []
    unfinished: list[UnfinishedRun] = []
    for run in read_each(directories):
        record = read_gradients(run) if isinstance(run, Run) else run
        if isinstance(record, UnfinishedRun):
            unfinished.append(record)
        elif isinstance(run, Run):
            runs.append(run)
            records[run.directory] = record
    if not runs:
        raise none_finished(unfinished)
    groups = group_runs(runs, names)
    recorded = [RecordedGroup(group, tuple(records[run.directory] for run in group.runs)) for group in groups]
    angles, agreement = angle_rows(recorded), agreement_rows(recorded)
    return Report(
        runs=runs,
        unfinished=unfinished,
        tables=[angle_table(angles), _agreement_table(agreement)],
        notes=cautions(groups),
        csv_files={"angles.csv": angles, "agreement.csv": agreement, "per_layer.csv": layer_rows(recorded)},
        figures=angle_figures(recorded),
        dpi=DPI,
    )


def angle_table(rows: Sequence[Row]) -> Table:
    """Return the rows of `angle_rows` as a table for people."""
    numbers = {"min": "min", "5 %": "p5", "median": "median", "95 %": "p95", "max": "max"}
    cells = [
        [
            *_first_cells(row),
            str(row["steps"]),
            *(f"{row[f'angle_{key}']:.1f}" if "angle_min" in row else "undefined" for key in numbers.values()),
            f"{row['cosine_min']:+.2f} to {row['cosine_max']:+.2f}" if "angle_min" in row else "undefined",
            _percent(row, "conflict_rate"),
        ]
        for row in rows
    ]
    return _table(
        "Angle to the gradient of the protected term over all shared parameters, in degrees, over the recorded steps "
        "of all runs; conflicts in % of the steps, mean ± sample standard deviation over n runs",
        ["steps", *numbers, "cosine", "conflicts"],
        cells,
    )


def _agreement_table(rows: Sequence[Row]) -> Table:
    columns = {"agreement": "agreement", "without a test": "without_a_test", "conflicts": "conflict_rate"}
    cells = [
        [
            *_first_cells(row),
            str(row["scope"]),
            str(row["decisions"]),
            *(_percent(row, key) for key in columns.values()),
        ]
        for row in rows
    ]
    return _table(
        "How often a cheaper scope makes the decision of AllParameters, in % of its decisions; `without a test`: the "
        "agreement of never discarding",
        ["scope", "decisions", *columns],
        cells,
    )


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    return Table(title, ["data", "n", "term", *headings], rows, frozenset({"data", "term", "scope"}))


def _first_cells(row: Row) -> list[str]:
    return [f"{row['task']} ({row['train_rows']} rows), {row['group']}", str(row["n"]), str(row["term"])]


def _percent(row: Row, name: str) -> str:
    mean, std = row[f"{name}_mean"], row[f"{name}_std"]
    assert isinstance(mean, float)
    assert std is None or isinstance(std, float)
    return Spread(mean, std, 0).text(100, 1)


def angle_figures(groups: Sequence[RecordedGroup]) -> dict[str, Figure]:
    """Return file name -> figure with a row per group and a column per term; the seeds share a panel."""
    figures = {}
    for task, train_rows in comparisons([recorded.group for recorded in groups]):
        alike = [recorded for recorded in groups if recorded.group.comparison == (task, train_rows)]
        terms = list(dict.fromkeys(term for recorded in alike for term in recorded.terms))
        panels = [[_panel(recorded, term) for term in terms] for recorded in alike]
        title = f"{alike[0].group.data}: gradient of each term against the protected term's"
        figures[f"angles_{task}_{train_rows}.png"] = gradient_angles_figure(panels, title=title)
    return figures


def _panel(recorded: RecordedGroup, term: str) -> AnglePanel:
    seeds = recorded.group.seeds
    labels = [
        f"seed {seed}" if seeds.count(seed) == 1 else f"seed {seed} ({number})" for number, seed in enumerate(seeds)
    ]
    curves = {
        label: [(comparison.step, comparison.angle) for comparison in record.overall(term)]
        for label, record in zip(labels, recorded.records, strict=True)
        if term in record.comparisons
    }
    return AnglePanel(f"{recorded.group.label}: {term}", curves)
