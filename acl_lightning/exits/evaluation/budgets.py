"""Budgets: constraints that select an operating point of a sweep."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.latency_table import LatencyTable
from acl_lightning.exits.evaluation.operating_point import OperatingPoint

#: A quality or a speed that falls short of its bound by less than this does so by rounding.
_ROUNDING = 1e-9

Speed = Literal["layer_speedup", "flops_speedup"]


def full_depth(points: Sequence[OperatingPoint]) -> OperatingPoint:
    """Return the point of a sweep at which no sample leaves early: the deepest static exit."""
    return max((point for point in points if point.is_static), key=lambda point: point.threshold)


class Budget(ABC):
    """A constraint on operating points, judged on the selection split alone.

    Attributes:
        name: Name under which the chosen point is stored, for example `drop1`.
        text: The constraint in words.
    """

    name: str
    text: str

    @abstractmethod
    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Whether a point keeps the budget; `full` is full depth."""

    @abstractmethod
    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return what to maximise among the points that keep the budget, most important first.

        Quality and speed are both in it, so the chosen point lies on the Pareto front of the selection split.
        """

    def check_exits(self, exit_layers: Sequence[int]) -> None:  # noqa: B027 - a hook
        """Check, before a model is trained, that the budget can be applied to one with exits after these layers."""

    def choose(self, points: Sequence[OperatingPoint]) -> OperatingPoint | None:
        """Return the best point of a sweep that keeps the budget, or None where none does.

        The point lies on the Pareto front of the selection split: no other point of the sweep is at least as good and
        as fast there, and better in one of the two. On the report split, which takes no part in the choice, another
        point may be better in both. Ties are resolved by preferring a static exit, then the criterion that was swept
        first, then the highest threshold.
        """
        full = full_depth(points)
        order = list(dict.fromkeys(point.criterion_name for point in points))

        def preference(point: OperatingPoint) -> tuple[tuple[float, ...], bool, int, float]:
            return self.objective(point), point.is_static, -order.index(point.criterion_name), point.threshold

        return max((point for point in points if self.admits(point, full)), key=preference, default=None)


class MaxDrop(Budget):
    """At most so many points lost against full depth; the fastest such point.

    `quality_selection >= full depth's - points / 100`. Full depth keeps every such budget, so there is always an
    answer; where full depth's quality is undefined it is full depth itself.
    """

    def __init__(self, points: float, name: str | None = None, table: str | None = None) -> None:
        """Set the loss.

        Args:
            points: Acceptable loss in points (hundredths of the metric), at least 0.
            name: Name of the operating point; default `drop1` for 1 point, `drop1_measured` with a table.
            table: CSV of measured times, see `MaxLatency`; with it the fastest point is the one with the least mean
                time. None: the one with the largest layer speed-up.

        Raises:
            UserError: The loss is below 0, or the table cannot be read.
        """
        if not points >= 0:
            raise UserError("acceptable losses of 0 points or more", f"{points}", "Mend max_drops, e.g. [0, 1, 2].")
        self.points, self.table = points, table
        self.name = name or f"drop{points:g}{'_measured' if table else ''}"
        self.text = f"at most {points:g} points lost"
        self._times = None if table is None else LatencyTable.read(table)

    def check_exits(self, exit_layers: Sequence[int]) -> None:
        """See `Budget.check_exits`: a table must have a time for each exit."""
        if self._times is not None:
            self._times.check_exits(exit_layers)

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Whether the point loses no more than that."""
        return point is full or point.quality_selection >= full.quality_selection - self.points / 100 - _ROUNDING

    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return the speed (layer speed-up, or minus the measured time), then the quality, then the FLOPs speed-up."""
        speed = point.layer_speedup_selection if self._times is None else -self._times.milliseconds(point)
        return speed, point.quality_selection, point.flops_speedup_selection


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
        self.text = f"{'FLOPs' if speed == 'flops_speedup' else 'layer'} speed-up of at least {times:g}"

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Whether the point is that fast and has a quality."""
        return self._speed(point) >= self.times - _ROUNDING and not math.isnan(point.quality_selection)

    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return the quality, then the speed that is meant, then the other one."""
        speeds = point.layer_speedup_selection, point.flops_speedup_selection
        return point.quality_selection, self._speed(point), *speeds

    def _speed(self, point: OperatingPoint) -> float:
        return float(getattr(point, f"{self.speed}_selection"))


class MaxLatency(Budget):
    """At most so many milliseconds per sample on average; the best such point.

    `sum_e share_e * milliseconds_e <= milliseconds`, with the shares of the selection split and the times of samples
    that leave at each exit, as measured on the machine that is to serve.
    """

    def __init__(self, milliseconds: float, table: str, name: str | None = None) -> None:
        """Set the time.

        Args:
            milliseconds: Largest mean time of a sample.
            table: CSV that `latency` writes as `exit_latency.csv`; see `LatencyTable.read` for its columns.
            name: Name of the operating point; default `ms5` for 5 milliseconds.

        Raises:
            UserError: The time is not positive, or the table cannot be read.
        """
        if not 0 < milliseconds < math.inf:
            raise UserError("a positive number of milliseconds", f"{milliseconds}", "Mend the budget MaxLatency.")
        self.milliseconds, self.table = milliseconds, table
        self.name = name or f"ms{milliseconds:g}"
        self.text = f"at most {milliseconds:g} ms per sample"
        self._times = LatencyTable.read(table)

    def check_exits(self, exit_layers: Sequence[int]) -> None:
        """See `Budget.check_exits`: the table must have a time for each exit."""
        self._times.check_exits(exit_layers)

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Whether the point is that quick and has a quality."""
        expected = self._times.milliseconds(point)
        return expected <= self.milliseconds + _ROUNDING and not math.isnan(point.quality_selection)

    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return the quality, then minus the measured time."""
        return point.quality_selection, -self._times.milliseconds(point)


class MinMeasuredSpeedup(Budget):
    """At least so many times as fast as the plain model by measured time; the best such point."""

    def __init__(self, times: float, table: str, name: str | None = None) -> None:
        """Set the speed.

        Args:
            times: Smallest ratio of the plain model's time and the mean time of a sample, above 0.
            table: CSV that `latency` writes as `exit_latency.csv`, with the column `plain_milliseconds`.
            name: Name of the operating point; default `measured2` for 2 times.

        Raises:
            UserError: The ratio is not positive, or the table cannot be read or does not state the plain model's time.
        """
        if not 0 < times < math.inf:
            raise UserError("a positive measured speed-up", f"{times}", "Give for example 2.")
        self.times, self.table = times, table
        self.name = name or f"measured{times:g}"
        self.text = f"measured speed-up of at least {times:g}"
        self._times = LatencyTable.read(table)
        if self._times.plain_milliseconds is None:
            raise UserError(
                f"the column plain_milliseconds in {table}",
                "a table of an earlier version",
                "Measure again: python -m acl_lightning latency RUN.",
            )
        self._plain = self._times.plain_milliseconds

    def check_exits(self, exit_layers: Sequence[int]) -> None:
        """See `Budget.check_exits`: the table must have a time for each exit."""
        self._times.check_exits(exit_layers)

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Whether the point is that fast and has a quality."""
        speedup = self._plain / self._times.milliseconds(point)
        return speedup >= self.times - _ROUNDING and not math.isnan(point.quality_selection)

    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return the quality, then minus the measured time."""
        return point.quality_selection, -self._times.milliseconds(point)
