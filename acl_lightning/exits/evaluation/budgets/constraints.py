"""Budgets: constraints that select an operating point of a sweep."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.budgets.latency_table import LatencyTable
from acl_lightning.exits.evaluation.budgets.risk_control import certified, check_metric, rows_needed
from acl_lightning.exits.evaluation.operating_point import OperatingPoint, full_depth

#: Tolerance of the comparisons with a bound, for rounding errors.
_ROUNDING = 1e-9

Speed = Literal["layer_speedup", "flops_speedup"]


class Budget(ABC):
    """A constraint on operating points, evaluated on the selection split alone.

    Attributes:
        name: Name under which the chosen point is stored, for example `drop1`.
        text: The constraint in words.
        confidence: Probability that the budget is kept on new data; None for a budget on the selection split alone.
    """

    name: str
    text: str
    confidence: float | None = None

    @abstractmethod
    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Return whether a point keeps the budget; `full` is full depth."""

    @abstractmethod
    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return the values to maximise among the points that keep the budget, the most important first.

        They contain quality and speed, so the selected point lies on the Pareto front of the selection split.
        """

    def check_exits(self, exit_layers: Sequence[int]) -> None:  # noqa: B027 - a hook
        """Raise `UserError` unless the budget can be applied to a model with exits after these layers."""

    def check_metric(self, metric: str) -> None:  # noqa: B027 - a hook
        """Raise `UserError` unless the budget can be applied to this metric."""

    def rows_needed(self, points: Sequence[OperatingPoint]) -> int | None:
        """Return about how many selection rows a guarantee needs for a point that is faster than full depth.

        None for a budget without a guarantee, and where no number of rows suffices.
        """
        return None

    def candidates(self, points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
        """Return the points of a sweep that keep the budget, in their order."""
        full = full_depth(points)
        return [point for point in points if self.admits(point, full)]

    def choose(self, points: Sequence[OperatingPoint]) -> OperatingPoint | None:
        """Return the best point of a sweep that keeps the budget, or None where none does.

        The point lies on the Pareto front of the selection split: no other point of the sweep is at least as good and
        as fast there, and better in one of the two. On the report split, by which no point is selected, another
        point may be better in both. Ties are resolved by preferring a static exit, then the criterion that was swept
        first, then the highest threshold.
        """
        order = list(dict.fromkeys(point.criterion_name for point in points))

        def preference(point: OperatingPoint) -> tuple[tuple[float, ...], bool, int, float]:
            return self.objective(point), point.is_static, -order.index(point.criterion_name), point.threshold

        return max(self.candidates(points), key=preference, default=None)


class MaxDrop(Budget):
    """Fastest point with a drop in quality of at most `points` against full depth.

    `quality_selection >= full depth's quality_selection - points / 100`. Full depth keeps every such budget, so a point
    is always selected; where the quality of full depth is undefined, it is full depth.

    With a confidence the drop is bounded on new data instead: the fastest of the points that `certified` returns. That
    holds for rows that took no part in fitting anything, and for accuracy only.
    """

    def __init__(
        self, points: float, name: str | None = None, table: str | None = None, confidence: float | None = None
    ) -> None:
        """Set the largest drop.

        Args:
            points: Acceptable drop in points (hundredths of the metric), at least 0.
            name: Name of the operating point; default `drop1` for 1 point, `drop1_95` with a confidence of 0.95, and
                `drop1_measured` with a table.
            table: CSV of measured times, see `MaxLatency`; with it the fastest point is the one with the least mean
                time. None: the one with the largest layer speed-up.
            confidence: Probability, in (0, 1), with which the drop on new data is at most `points`. None: the drop on
                the selection split counts.

        Raises:
            UserError: The drop is below 0, the confidence is out of range, or the table cannot be read.
        """
        if not points >= 0:
            raise UserError(
                "acceptable drops of 0 points or more", f"{points}", "Set max_drops to [0,1,2], for example."
            )
        if confidence is not None and not 0 < confidence < 1:
            raise UserError("a confidence between 0 and 1", f"{confidence}", "Set confidence to 0.95, for example.")
        self.points, self.table, self.confidence = points, table, confidence
        percent = "" if confidence is None else f"{100 * confidence:g}"
        self.name = name or f"drop{points:g}{percent and f'_{percent}'}{'_measured' if table else ''}"
        self.text = f"drop of at most {points:g} points{percent and f' with {percent} % confidence'}"
        self._times = None if table is None else LatencyTable.read(table)

    def check_exits(self, exit_layers: Sequence[int]) -> None:
        """Raise `UserError` unless the table, where there is a table, has a time for each exit."""
        if self._times is not None:
            self._times.check_exits(exit_layers)

    def check_metric(self, metric: str) -> None:
        """Raise `UserError` if there is a confidence and the metric is not accuracy."""
        if self.confidence is not None:
            check_metric(metric)

    def candidates(self, points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
        """Return the points whose drop is small enough; with a confidence those that are certified."""
        if self.confidence is None:
            return super().candidates(points)
        return certified(points, self.points / 100, self.confidence)

    def rows_needed(self, points: Sequence[OperatingPoint]) -> int | None:
        """Return about how many selection rows the first faster point needs; None without a confidence."""
        return None if self.confidence is None else rows_needed(points, self.points / 100, self.confidence)

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Return whether the drop on the selection split is small enough."""
        return point is full or point.quality_selection >= full.quality_selection - self.points / 100 - _ROUNDING

    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return the speed (layer speed-up, or minus the measured time), then the quality, then the FLOPs speed-up."""
        speed = point.layer_speedup_selection if self._times is None else -self._times.milliseconds(point)
        return speed, point.quality_selection, point.flops_speedup_selection


class MinSpeedup(Budget):
    """Best point that is at least `times` times as fast as full depth.

    `{speed}_selection >= times`. No point keeps the budget if even the first exit is slower.
    """

    def __init__(self, times: float, speed: Speed = "layer_speedup", name: str | None = None) -> None:
        """Set the smallest speed-up.

        Args:
            times: Smallest speed-up, at least 1.
            speed: Measure of the speed-up, by layers or by FLOPs.
            name: Name of the operating point; default `speed2` for 2 times (`flops2` for FLOPs).

        Raises:
            UserError: The speed-up is below 1 or not finite.
        """
        if not 1 <= times < math.inf:
            raise UserError("a speed-up of 1 or more", f"{times}", "Set min_speedups to [2,3], for example.")
        self.times, self.speed = times, speed
        self.name = name or f"{'flops' if speed == 'flops_speedup' else 'speed'}{times:g}"
        self.text = f"{'FLOPs' if speed == 'flops_speedup' else 'layer'} speed-up of at least {times:g}"

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Return whether the point is fast enough and has a quality."""
        return self._speed(point) >= self.times - _ROUNDING and not math.isnan(point.quality_selection)

    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return the quality, then the constrained speed-up, then both speed-ups."""
        speeds = point.layer_speedup_selection, point.flops_speedup_selection
        return point.quality_selection, self._speed(point), *speeds

    def _speed(self, point: OperatingPoint) -> float:
        return float(getattr(point, f"{self.speed}_selection"))


class MaxLatency(Budget):
    """Best point with a mean time per sample of at most `milliseconds`.

    `sum_e share_e * milliseconds_e <= milliseconds`, with the shares of the selection split and the times of samples
    that leave at each exit, as measured on the machine that will serve the model.
    """

    def __init__(self, milliseconds: float, table: str, name: str | None = None) -> None:
        """Set the largest mean time.

        Args:
            milliseconds: Largest mean time of a sample.
            table: CSV that `latency` writes as `exit_latency.csv`; see `LatencyTable.read` for its columns.
            name: Name of the operating point; default `ms5` for 5 milliseconds.

        Raises:
            UserError: The time is not positive, or the table cannot be read.
        """
        if not 0 < milliseconds < math.inf:
            raise UserError(
                "a positive number of milliseconds", f"{milliseconds}", "Set milliseconds to 5, for example."
            )
        self.milliseconds, self.table = milliseconds, table
        self.name = name or f"ms{milliseconds:g}"
        self.text = f"at most {milliseconds:g} ms per sample"
        self._times = LatencyTable.read(table)

    def check_exits(self, exit_layers: Sequence[int]) -> None:
        """Raise `UserError` unless the table has a time for each exit."""
        self._times.check_exits(exit_layers)

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Return whether the point is fast enough and has a quality."""
        expected = self._times.milliseconds(point)
        return expected <= self.milliseconds + _ROUNDING and not math.isnan(point.quality_selection)

    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return the quality, then minus the measured time."""
        return point.quality_selection, -self._times.milliseconds(point)


class MinMeasuredSpeedup(Budget):
    """Best point that is at least `times` times as fast as the plain model by measured time."""

    def __init__(self, times: float, table: str, name: str | None = None) -> None:
        """Set the smallest measured speed-up.

        Args:
            times: Smallest ratio of the plain model's time and the mean time per sample, above 0.
            table: CSV that `latency` writes as `exit_latency.csv`, with the column `plain_milliseconds`.
            name: Name of the operating point; default `measured2` for 2 times.

        Raises:
            UserError: The ratio is not positive, or the table cannot be read or does not state the plain model's time.
        """
        if not 0 < times < math.inf:
            raise UserError("a positive measured speed-up", f"{times}", "Set times to 2, for example.")
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
        """Raise `UserError` unless the table has a time for each exit."""
        self._times.check_exits(exit_layers)

    def admits(self, point: OperatingPoint, full: OperatingPoint) -> bool:
        """Return whether the point is fast enough and has a quality."""
        speedup = self._plain / self._times.milliseconds(point)
        return speedup >= self.times - _ROUNDING and not math.isnan(point.quality_selection)

    def objective(self, point: OperatingPoint) -> tuple[float, ...]:
        """Return the quality, then minus the measured time."""
        return point.quality_selection, -self._times.milliseconds(point)
