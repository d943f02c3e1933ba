"""Quality-speed curves: Pareto front, area, the curve of an oracle, and a score against a reference curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.intervals.bootstrap import interpolated
from acl_lightning.exits.evaluation.operating_point import STATIC, CurvePoint, OperatingPoint
from acl_lightning.exits.evaluation.record import ExitCosts
from acl_lightning.exits.evaluation.sweep import Quality

#: The speed-ups over which `area_under_curve` averages.
SPEED_RANGE = (1.0, 3.0)


def pareto_front(points: Sequence[OperatingPoint], *, selection: bool = False) -> list[OperatingPoint]:
    """Return the points that no other point beats in layer speed-up and quality, from slow to fast.

    Quality falls strictly along the front. Of points that are equal in both, the first is kept; points with a quality
    of NaN are left out.

    Args:
        points: Points of a sweep.
        selection: Whether to compare the points on the selection split. The numbers of the front on the report split
            are then not biased by the choice among many points, and its quality there may rise locally.
    """
    front: list[OperatingPoint] = []
    best = -math.inf
    measured = [
        (point.layer_speedup_selection, point.quality_selection, point)
        if selection
        else (point.layer_speedup, point.quality, point)
        for point in points
    ]
    defined = (entry for entry in measured if not math.isnan(entry[1]))
    for _, quality, point in sorted(defined, key=lambda entry: (-entry[0], -entry[1])):
        if quality > best:
            front.append(point)
            best = quality
    return front[::-1]


def as_curve(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """Return the points of a criterion as a line.

    A criterion with a threshold alone has a point per threshold. For a criterion with a further setting the line is the
    Pareto front on the selection split: a front on the report split would be biased by the choice among many points.
    """
    alike = all(point.settings == points[0].settings for point in points)
    return list(points) if alike else pareto_front(points, selection=True)


def area_under_curve(points: Sequence[OperatingPoint], speed_range: tuple[float, float] = SPEED_RANGE) -> float:
    """Return the mean, over the layer speed-ups s in `speed_range`, of the best quality at s or faster (our reading).

    `1/(b-a) * integral from a to b of max{ quality_i : layer_speedup_i >= s } ds`, exact for this step function, in the
    unit of the quality. A speed-up that no point reaches counts as quality 0, and so does a quality below 0 (a
    correlation). Adding a point never lowers the area.

    Raises:
        UserError: The range is empty.
    """
    low, high = speed_range
    if not low < high:
        raise UserError("a speed range (low, high) with low < high", f"{speed_range}", "Use for example (1, 3).")
    area, reached = 0.0, low
    for point in pareto_front(points):
        step = min(point.layer_speedup, high)
        if step > reached:
            area += (step - reached) * max(point.quality, 0.0)
            reached = step
    return area / (high - low)


class FigurePoints(TypedDict):
    """Arguments of `acl_lightning.figures.speed_quality_figure`; a point is (layer speed-up, quality)."""

    curves: dict[str, list[tuple[float, float]]]
    static: dict[int, tuple[float, float]]
    recommended: dict[str, tuple[float, float]]


def figure_points(
    points: Sequence[OperatingPoint], recommended: Mapping[str, CurvePoint] | None = None
) -> FigurePoints:
    """Arrange the points of a sweep and the recommended ones for `figures.speed_quality_figure`.

    `speed_quality_figure(**figure_points(points, recommend(points)), metric="accuracy", title="mine")` draws it.

    Args:
        points: What `sweep` returned, or `SweepReport.points`.
        recommended: What `recommend` returned, or `SweepReport.recommended`; None marks no point.
    """
    by_criterion: dict[str, list[OperatingPoint]] = {}
    for point in points:
        by_criterion.setdefault(point.criterion_name, []).append(point)
    static = by_criterion.pop(STATIC, [])
    return FigurePoints(
        curves={name: [_place(point) for point in as_curve(members)] for name, members in by_criterion.items()},
        static={round(point.mean_exit_layer): _place(point) for point in static},
        recommended={name: _place(point) for name, point in (recommended or {}).items()},
    )


def _place(point: CurvePoint) -> tuple[float, float]:
    return point.layer_speedup, point.quality


@dataclass(frozen=True, kw_only=True)
class OraclePoint(CurvePoint):
    """A point of the oracle's curve.

    Attributes:
        deepest: Layer of the deepest exit that the oracle uses at this point.
    """

    deepest: int


def oracle_exits(predictions_EB: Tensor, labels_B: Tensor) -> Tensor:
    """Return the index (B,) of the first correct exit; 0, the cheapest exit, where no exit is correct."""
    return (predictions_EB == labels_B).to(torch.uint8).argmax(dim=0)


def oracle_curve(predictions_EB: Tensor, labels_B: Tensor, *, quality: Quality, costs: ExitCosts) -> list[OraclePoint]:
    """Return E points, from fast to slow, of a rule that knows the labels and uses no exit deeper than the e-th.

    At point e the samples whose first correct exit is at most e leave there, all others at the first exit. The accuracy
    at these points, joined by straight lines over the mean cost, is an upper bound for every criterion: a correct
    sample costs at least its first correct exit, any other sample at least the first exit, and the cheap samples come
    first. The last point is the classic oracle. For other metrics than accuracy the exits are the same, and the curve
    is not a bound in the strict sense. Published work reports the last point alone.

    Args:
        predictions_EB: Predicted class of each exit.
        labels_B: Classes.
        quality: The task's metric.
        costs: Costs of leaving at each exit.

    Raises:
        UserError: A regression, in which no prediction is exactly correct.
    """
    if labels_B.is_floating_point():
        raise UserError("classes for an oracle", "a regression", "Leave the oracle out for a regression.")
    first_B = oracle_exits(predictions_EB, labels_B)
    points = []
    for deepest, layer in enumerate(costs.layers_E):
        exits_B = first_B.where(first_B <= deepest, 0)
        counts_E = exits_B.bincount(minlength=len(costs.layers_E)).double()
        shares_E = tuple((counts_E / len(labels_B)).tolist())
        mean_layer = costs.mean_layer(shares_E)
        points.append(
            OraclePoint(
                deepest=layer,
                quality=quality(predictions_EB.gather(0, exits_B[None])[0], labels_B),
                mean_exit_layer=mean_layer,
                layer_speedup=costs.depth / mean_layer,
                flops_speedup=costs.full_flops / costs.mean_flops(shares_E),
            )
        )
    return points


def elue_score(points: Sequence[CurvePoint], reference: Sequence[CurvePoint]) -> float:
    """Return the mean over the points of quality minus the reference's quality at the same FLOPs, in hundredths.

    After the ELUE benchmark (Liu et al., 2022), which fixes the reference; here it is an argument. The reference's
    points are joined by straight lines over the FLOPs and constant beyond its ends: a point faster than all of them is
    compared with the fastest (our reading). Points of the same quality and FLOPs count once, so that a fine grid of
    thresholds does not weigh its repetitions.

    Args:
        points: Points of the curve to score.
        reference: Points of the curve to compare with.

    Raises:
        UserError: No points, or no reference.
    """
    if not points or not reference:
        raise UserError("points and a reference curve to score", "none", "Give at least one point of each.")
    distinct = torch.tensor(sorted({(point.flops_speedup, point.quality) for point in points}), dtype=torch.float64)
    costs = torch.tensor([1 / point.flops_speedup for point in reference], dtype=torch.float64)
    qualities = torch.tensor([point.quality for point in reference], dtype=torch.float64)
    return 100 * (distinct[:, 1] - interpolated(costs, qualities, 1 / distinct[:, 0])).mean().item()
