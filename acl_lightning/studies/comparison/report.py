"""A comparison of curves as figure, tables and text."""

from __future__ import annotations

from matplotlib.figure import Figure

from acl_lightning.exits.evaluation.curve import SPEED_RANGE
from acl_lightning.figures.seed_curves import LAYER_SPEEDUP, seed_curves_figure
from acl_lightning.studies.comparison.contenders import Comparison
from acl_lightning.studies.spread import Spread
from acl_lightning.studies.tables import Row

#: Name of a speed -> its name on an axis.
AXES = {"layer_speedup": LAYER_SPEEDUP, "flops_speedup": "FLOPs speed-up (exit heads included)"}


def comparison_figure(comparison: Comparison, criterion: str, speed: str) -> Figure:
    """All curves in one figure."""
    return seed_curves_figure(
        {one.label: one.line for one in comparison.contenders},
        metric=comparison.metric,
        title=f"{comparison.task}, leaving by {criterion}, report half of validation",
        speed=AXES[speed],
        cut=comparison.cut,
    )


def curve_rows(comparison: Comparison) -> list[Row]:
    """The numbers of the figure: a row per point, `kind` is curve, static, oracle or cut; qualities are fractions."""
    rows: list[Row] = []
    for one in comparison.contenders:
        line = one.line
        rows += [
            _point(one.label, "curve", None, speed, mean) | {"low": low, "high": high}
            for speed, mean, (low, high) in zip(line.speeds, line.mean, line.bounds(), strict=True)
        ]
        rows += [_point(one.label, "static", layer, *point) for layer, point in line.static.items()]
        rows += [_point(one.label, "oracle", None, *point) for point in line.oracle]
    return rows + [_point("cut", "cut", layer, *point) for layer, point in sorted(comparison.cut.items())]


def score_rows(comparison: Comparison) -> list[Row]:
    """One row per group: area and full-depth quality as fractions, the ELUE-style score in points."""
    return [
        {
            "group": one.label,
            "n": one.area.n,
            "metric": comparison.metric,
            "full_depth_mean": one.full_depth.mean,
            "full_depth_std": one.full_depth.std,
            "area_mean": one.area.mean,
            "area_std": one.area.std,
            "elue_mean": one.elue.mean,
            "elue_std": one.elue.std,
            "reference": comparison.reference,
        }
        for one in comparison.contenders
    ]


def summary(comparison: Comparison, criterion: str) -> str:
    """Scores and notes as Markdown."""
    low, high = SPEED_RANGE
    lines = [
        f"{comparison.task}, leaving by {criterion}: {comparison.metric} in % on the report half of validation, mean ± "
        "sample standard deviation over n seeds.",
        "",
        f"| group | n | full depth | area under the curve, {low:g} to {high:g} times | ELUE-style score in points |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.label} | {one.area.n} | {_cell(one.full_depth, 100)} | {_cell(one.area, 100)} | {_cell(one.elue, 1)} |"
        for one in comparison.contenders
    ]
    lines += ["", f"The score is the mean lead over {comparison.reference} at the same FLOPs.", ""]
    if comparison.cut:
        cut = ", ".join(f"{layer}: {100 * quality:.1f}" for layer, (_, quality) in sorted(comparison.cut.items()))
        lines += [f"Plain model cut to k layers: {cut}.", ""]
    return "\n".join([*lines, *(f"- {note}" for note in comparison.notes)]).rstrip() + "\n"


def _point(group: str, kind: str, layer: int | None, speed: float, quality: float) -> Row:
    return {"group": group, "kind": kind, "layer": layer, "speedup": speed, "quality": quality}


def _cell(value: Spread, factor: float) -> str:
    if value.mean is None:
        return "undefined"
    mean = f"{factor * value.mean:.1f}"
    return mean if value.std is None else f"{mean} ± {factor * value.std:.1f}"
