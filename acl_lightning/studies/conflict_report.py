"""The findings about conflicting gradients to read: a summary in Markdown and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from acl_lightning.figures import AnglePanel, gradient_angles_figure
from acl_lightning.studies.conflict_tables import WatchedGroup, agreement_rows, angle_rows
from acl_lightning.studies.report import notes
from acl_lightning.studies.run_record import UnfinishedRun
from acl_lightning.studies.tables import Cell, Row

#: Heading -> columns of the CSV that a cell shows, and how.
ANGLES = {
    "steps": "{steps}",
    "angle, min": "{angle_min:.1f}",
    "5 %": "{angle_p5:.1f}",
    "median": "{angle_median:.1f}",
    "95 %": "{angle_p95:.1f}",
    "max": "{angle_max:.1f}",
    "cosine": "{cosine_min:+.2f} to {cosine_max:+.2f}",
}
SCOPES = {"scope": "{scope}", "decisions": "{decisions}"}


def angles_figures(groups: Sequence[WatchedGroup]) -> dict[tuple[str, str], Figure]:
    """Task and training size -> a figure with a row per group and a column per term; seeds lie over each other."""
    figures = {}
    for comparison in dict.fromkeys(watched.group.comparison for watched in groups):
        alike = [watched for watched in groups if watched.group.comparison == comparison]
        terms = list(dict.fromkeys(term for watched in alike for term in watched.terms))
        rows = [[_panel(watched, term) for term in terms] for watched in alike]
        title = f"{comparison[0]}, {comparison[1]} training rows: gradient of each term against the protected term's"
        figures[comparison] = gradient_angles_figure(rows, title=title)
    return figures


def _panel(watched: WatchedGroup, term: str) -> AnglePanel:
    seeds = watched.group.seeds
    labels = [
        f"seed {seed}" if seeds.count(seed) == 1 else f"seed {seed} ({number})" for number, seed in enumerate(seeds)
    ]
    curves = {
        label: [(one.step, one.angle) for one in watch.overall(term)]
        for label, watch in zip(labels, watched.watches, strict=True)
        if term in watch.comparisons
    }
    return AnglePanel(f"{watched.group.label}: {term}", curves)


def markdown(groups: Sequence[WatchedGroup], unfinished: Sequence[UnfinishedRun]) -> str:
    """Two tables and what limits them; the layers, being many, are in `per_layer.csv` alone."""
    listed = "\n".join(f"- {note}" for note in notes([watched.group for watched in groups], unfinished))
    parts = [
        "Angle to the gradient of the protected term over all shared parameters, in degrees, over the recorded steps "
        "of all runs; conflicts in % of the steps, mean ± sample standard deviation over n runs:",
        _table(angle_rows(groups), ANGLES, {"conflicts": "conflict_rate"}),
        "How often a cheaper scope decides as AllParameters does, in % of its decisions; `without a test`: the "
        "agreement of never discarding:",
        _table(
            agreement_rows(groups),
            SCOPES,
            {"agreement": "agreement", "without a test": "without_a_test", "conflicts": "conflict_rate"},
        ),
        listed,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(rows: Sequence[Row], columns: Mapping[str, str], percentages: Mapping[str, str]) -> str:
    heading = ["data", "n", "term", *columns, *percentages]
    lines = [
        [
            _name(row),
            str(row["n"]),
            str(row["term"]),
            *(_filled(cell, row) for cell in columns.values()),
            *(_percent(row[f"{name}_mean"], row[f"{name}_std"]) for name in percentages.values()),
        ]
        for row in rows
    ]
    rule = ["---"] * len(heading)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heading, rule, *lines])


def _filled(cell: str, row: Row) -> str:
    try:
        return cell.format_map(row)
    except (KeyError, TypeError):  # no step had a finite gradient
        return "undefined"


def _percent(mean: Cell, std: Cell) -> str:
    assert isinstance(mean, float)
    return f"{100 * mean:.1f}" + (f" ± {100 * std:.1f}" if isinstance(std, float) else "")


def _name(row: Row) -> str:
    return f"{row['task']} ({row['train_rows']} rows), {row['group']}"
