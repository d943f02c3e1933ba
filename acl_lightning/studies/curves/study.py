"""Study of speed-quality curves from stored logits: any criterion, an oracle, and plain models cut to k layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from acl_lightning.figures.seed_curves import LAYER_SPEEDUP, seed_curves_figure
from acl_lightning.studies.curves.comparison import CurveComparison, compare
from acl_lightning.studies.curves.stored_curves import (
    SPEED_RANGE,
    default_criterion,
    named_criterion,
    read_curve,
)
from acl_lightning.studies.grouping import (
    check_one_task,
)
from acl_lightning.studies.reading import read_finished
from acl_lightning.studies.report import Report
from acl_lightning.studies.tables import Row, Table

#: Speed-up -> its name on an axis.
AXES = {"layer_speedup": LAYER_SPEEDUP, "flops_speedup": "FLOPs speed-up (exit heads included)"}


def curves(
    directories: Sequence[Path],
    criterion: str | None = None,
    speed: str = "layer_speedup",
    names: Sequence[str] | None = None,
) -> Report:
    """Compare runs of one task by the speed-quality curves of their stored logits.

    The report has `curves.png`, `curves.csv` (the points of the figure) and `scores.csv` (a row per group).

    Args:
        directories: Run directories. Single-exit runs are the baseline.
        criterion: Name of the criterion. None: entropy, and for a regression patience.
        speed: `layer_speedup` or `flops_speedup`.
        names: Names of the groups of multi-exit runs, see `group_runs`.

    Raises:
        UserError: A run does not exist, is listed twice, is about another task or has no stored logits; no run is
            finished; the criterion is unknown; the number of names is not the number of groups.
    """
    if criterion is not None:
        named_criterion(criterion)
    runs, unfinished = read_finished(directories)
    check_one_task(runs)
    if criterion is None:
        criterion = default_criterion(runs[0])
    stored = [read_curve(run, criterion) for run in runs]
    comparison = compare(stored, criterion, speed, names)
    return Report(
        runs=[curve.run for curve in stored],
        unfinished=unfinished,
        tables=[_score_table(comparison)],
        notes=_all_notes(comparison),
        csv_files={"curves.csv": curve_rows(comparison), "scores.csv": score_rows(comparison)},
        figures={"curves.png": comparison_figure(comparison)},
    )


def comparison_figure(comparison: CurveComparison) -> Figure:
    """Draw all curves in one figure."""
    return seed_curves_figure(
        {group.label: group.mean for group in comparison.groups},
        metric=comparison.metric,
        title=f"{comparison.task}, criterion {comparison.criterion}, {comparison.split}",
        speed=AXES[comparison.speed],
        cut=comparison.cut,
    )


def curve_rows(comparison: CurveComparison) -> list[Row]:
    """Return a row per point of the figure; `kind` is curve, static, oracle or cut. Qualities are fractions."""
    rows: list[Row] = []
    for group in comparison.groups:
        mean = group.mean
        rows += [
            _point(group.label, "curve", None, speed, quality) | {"low": low, "high": high}
            for speed, quality, (low, high) in zip(mean.speeds, mean.mean, mean.bounds(), strict=True)
        ]
        rows += [_point(group.label, "static", layer, *point) for layer, point in mean.static.items()]
        rows += [_point(group.label, "oracle", None, *point) for point in mean.oracle]
    return rows + [_point("cut", "cut", layer, *point) for layer, point in sorted(comparison.cut.items())]


def score_rows(comparison: CurveComparison) -> list[Row]:
    """Return a row per group: area and full-depth quality as fractions, the ELUE-style score in points."""
    return [
        {
            "group": group.label,
            "n": group.area.n,
            "metric": comparison.metric,
            **group.full_depth.columns("full_depth"),
            **group.area.columns("area"),
            **group.elue.columns("elue"),
            "reference": comparison.reference,
        }
        for group in comparison.groups
    ]


def _score_table(comparison: CurveComparison) -> Table:
    low, high = SPEED_RANGE
    return Table(
        f"{comparison.task}, criterion {comparison.criterion}: {comparison.metric} in % on the {comparison.split}, "
        "mean ± sample standard deviation over n seeds",
        ["group", "n", "full depth", f"area under the curve, {low:g} to {high:g} times", "ELUE-style score in points"],
        [
            [
                group.label,
                str(group.area.n),
                group.full_depth.text(100, 1),
                group.area.text(100, 1),
                group.elue.text(1, 1),
            ]
            for group in comparison.groups
        ],
    )


def _all_notes(comparison: CurveComparison) -> list[str]:
    notes = [f"The score is the mean difference to {comparison.reference} at the same FLOPs."]
    if comparison.cut:
        cut = ", ".join(f"{layer}: {100 * quality:.1f}" for layer, (_, quality) in sorted(comparison.cut.items()))
        notes.append(f"Plain model cut to k layers: {cut}.")
    return [*notes, *comparison.notes]


def _point(group: str, kind: str, layer: int | None, speed: float, quality: float) -> Row:
    return {"group": group, "kind": kind, "layer": layer, "speedup": speed, "quality": quality}
