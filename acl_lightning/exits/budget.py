"""What may be given away for speed, or what speed is asked for: an object per kind of budget."""

from __future__ import annotations

import csv
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from acl_lightning.errors import UserError
from acl_lightning.exits.operating_point import OperatingPoint
from acl_lightning.exits.static import Static

#: A quality or a speed that falls short of its bound by less than this does so by rounding.
_ROUNDING = 1e-9

Speed = Literal["layer_speedup", "flops_speedup"]


def full_depth(points: Sequence[OperatingPoint]) -> OperatingPoint:
    """The point of a sweep at which nobody leaves early: the deepest static exit."""
    return max((point for point in points if point.criterion == Static.name), key=lambda point: point.threshold)


class Budget(ABC):
    """A demand on operating points, judged on the selection half alone.

    Attributes:
        name: under which the chosen point is stored, e.g. `loss1`.
    """

    name: str

    @abstractmethod
    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Whether a point keeps the budget; `full` is full depth."""

    @abstractmethod
    def worth(self, point: OperatingPoint) -> tuple[float, float]:
        """What to maximise among the points that keep it, most important first."""

    def choose(self, points: Sequence[OperatingPoint]) -> OperatingPoint | None:
        """The best point of a sweep that keeps the budget; None where none does.

        Ties: a static exit (the simplest); then the criterion that was swept first; then the highest threshold (the
        most cautious). What the point reports of the other half may fail the budget: that is what it is for.
        """
        full = full_depth(points)
        order = list(dict.fromkeys(point.criterion for point in points))

        def preference(point: OperatingPoint) -> tuple[tuple[float, float], bool, int, float]:
            return self.worth(point), point.criterion == Static.name, -order.index(point.criterion), point.threshold

        return max((point for point in points if self.admits(point, full)), key=preference, default=None)


class MaxLoss(Budget):
    """At most so many points lost against full depth; the fastest such point.

    `quality_selection >= full depth's - points / 100`. Full depth keeps every such budget, so there is always an
    answer; where full depth's quality is undefined it is full depth itself.
    """

    def __init__(self, points: float, name: str | None = None) -> None:
        """Set the loss.

        Args:
            points: acceptable loss in points (hundredths of the metric), at least 0.
            name: of the operating point; default `loss1` for 1 point.

        Raises:
            UserError: a loss below 0.
        """
        if not points >= 0:
            raise UserError("acceptable losses of 0 points or more", f"{points}", "Mend max_losses, e.g. [0, 1, 2].")
        self.points = points
        self.name = name or f"loss{points:g}"

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Whether the point loses no more than that."""
        return point is full or point.quality_selection >= full.quality_selection - self.points / 100 - _ROUNDING

    def worth(self, point: OperatingPoint) -> tuple[float, float]:
        """Layer speed-up, then quality."""
        return point.layer_speedup_selection, point.quality_selection


class MinSpeedup(Budget):
    """At least so many times as fast as full depth; the best such point.

    `{speed}_selection >= times`. No point keeps it where even the first exit is slower.
    """

    def __init__(self, times: float, speed: Speed = "layer_speedup", name: str | None = None) -> None:
        """Set the speed.

        Args:
            times: smallest speed-up, at least 1.
            speed: which convention is meant.
            name: of the operating point; default `speed2` for 2 times (`flops2` for FLOPs).

        Raises:
            UserError: a speed-up below 1 or not finite.
        """
        if not 1 <= times < math.inf:
            raise UserError("a speed-up of 1 or more", f"{times}", "Mend min_speedups, e.g. [2, 3].")
        self.times, self.speed = times, speed
        self.name = name or f"{'flops' if speed == 'flops_speedup' else 'speed'}{times:g}"

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Whether the point is that fast and has a quality."""
        return self._speed(point) >= self.times - _ROUNDING and not math.isnan(point.quality_selection)

    def worth(self, point: OperatingPoint) -> tuple[float, float]:
        """Quality, then speed."""
        return point.quality_selection, self._speed(point)

    def _speed(self, point: OperatingPoint) -> float:
        return float(getattr(point, f"{self.speed}_selection"))


class MaxLatency(Budget):
    """At most so many milliseconds per sample on average; the best such point.

    `sum_e share_e * milliseconds_e <= milliseconds`, with the shares of the selection half and the times of samples
    that leave at each exit, as measured on the machine that is to serve.
    """

    def __init__(self, milliseconds: float, table: str, name: str | None = None) -> None:
        """Set the time.

        Args:
            milliseconds: largest mean time of a sample.
            table: a CSV with the columns `exit_layer` and `milliseconds`: the time of a sample that leaves there. Other
                columns are ignored; of several rows of a layer the first counts.
            name: of the operating point; default `ms5` for 5 milliseconds.

        Raises:
            UserError: a time that is not positive, or a table that cannot be read.
        """
        if not 0 < milliseconds < math.inf:
            raise UserError("a positive number of milliseconds", f"{milliseconds}", "Mend the budget MaxLatency.")
        self.milliseconds, self.table = milliseconds, table
        self.name = name or f"ms{milliseconds:g}"
        self._times_E = _read_times(Path(table))

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Whether the point is that quick and has a quality."""
        return self._expected(point) <= self.milliseconds + _ROUNDING and not math.isnan(point.quality_selection)

    def worth(self, point: OperatingPoint) -> tuple[float, float]:
        """Quality, then quickness."""
        return point.quality_selection, -self._expected(point)

    def _expected(self, point: OperatingPoint) -> float:
        if len(point.shares_selection_E) != len(self._times_E):
            raise UserError(
                f"times of {len(point.shares_selection_E)} exits in {self.table}",
                f"{len(self._times_E)}",
                "Measure the latency of this model.",
            )
        return sum(share * time for share, time in zip(point.shares_selection_E, self._times_E, strict=True))


def _read_times(path: Path) -> tuple[float, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            found: dict[int, float] = {}
            for row in csv.DictReader(lines):
                found.setdefault(int(row["exit_layer"]), float(row["milliseconds"]))
    except (OSError, KeyError, ValueError, TypeError) as error:
        remedy = "Give a CSV with one row per exit of the model."
        raise UserError(f"columns exit_layer and milliseconds in {path}", f"{error!r}", remedy) from error
    return tuple(found[layer] for layer in sorted(found))
