"""Choosing thresholds on one half of the validation data, to be reported on the other."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.errors import UserError
from acl_lightning.exits.operating_point import OperatingPoint
from acl_lightning.exits.static import Static

#: A quality that falls short of its bound by less than this does so by rounding.
_ROUNDING = 1e-9


def full_depth(points: Sequence[OperatingPoint]) -> OperatingPoint:
    """The point of a sweep at which nobody leaves early: the deepest static exit."""
    return max((point for point in points if point.criterion == Static.name), key=lambda point: point.threshold)


def loss_name(max_loss: float) -> str:
    """The name of the recommendation for a loss of `max_loss` points: `loss0`, `loss1`, `loss0.5`."""
    return f"loss{max_loss:g}"


def recommend(points: Sequence[OperatingPoint], max_losses: Sequence[float] = (0, 1, 2)) -> dict[str, OperatingPoint]:
    """The fastest point of a sweep for each loss of quality that is acceptable.

    Chosen on the selection half alone: the largest `layer_speedup_selection` among the points whose `quality_selection`
    is at least full depth's minus `max_loss / 100`. What a point reports of the other half may therefore lose more.
    Ties: the better quality on the selection half; then a static exit (the simplest); then the criterion that was swept
    first; then the highest threshold (the most cautious). Full depth is always a candidate, so there is always an
    answer; `OperatingPoint.leaves_early` says whether it is worth anything.

    Args:
        points: what `sweep` returned.
        max_losses: acceptable losses in points (hundredths of the metric), each at least 0.

    Returns:
        By the name of the loss, in the order given.

    Raises:
        UserError: a loss below 0.
    """
    full = full_depth(points)
    order = list(dict.fromkeys(point.criterion for point in points))

    def preference(point: OperatingPoint) -> tuple[float, float, bool, int, float]:
        speed, quality = point.layer_speedup_selection, point.quality_selection
        return speed, quality, point.criterion == Static.name, -order.index(point.criterion), point.threshold

    recommended = {}
    for max_loss in max_losses:
        if not max_loss >= 0:
            raise UserError("acceptable losses of 0 points or more", f"{max_loss}", "Mend max_losses, e.g. [0, 1, 2].")
        bound = full.quality_selection - max_loss / 100 - _ROUNDING
        good_enough = [point for point in points if point.quality_selection >= bound]  # none where full depth's is NaN
        recommended[loss_name(max_loss)] = max(good_enough, key=preference, default=full)
    return recommended
