"""Schedules that rise or fall between two points of the training."""

from __future__ import annotations

import math
from abc import abstractmethod

from acl_lightning.errors import UserError
from acl_lightning.objectives.schedules.base import WeightSchedule


class Ramp(WeightSchedule):
    """Transition between two factors: `start + (end - start) shape(x)`, with x from 0 at `begin` to 1 at `until`.

    Args:
        start: Factor in [0, 1] up to `begin`.
        end: Factor in [0, 1] from `until` on. Below `start` the weight falls.
        begin: Progress at which the transition begins, in [0, 1].
        until: Progress at which it ends, in [0, 1], not before `begin`. Equal to `begin`: the factor jumps there.

    Raises:
        UserError: A factor or a progress outside [0, 1], or an end before the beginning.
    """

    def __init__(self, start: float = 0.0, end: float = 1.0, begin: float = 0.0, until: float = 1.0) -> None:
        for name, value in {"start": start, "end": end, "begin": begin, "until": until}.items():
            if not 0 <= value <= 1:
                default = "0 (the default)" if name in ("start", "begin") else "1 (the default)"
                raise UserError(f"a schedule with {name} in [0, 1]", f"{value}", f"Set {name} to {default}.")
        if until < begin:
            raise UserError(
                f"a schedule with until >= begin = {begin:g}", f"until = {until:g}", "Set until to 1 (the default)."
            )
        self.start = start
        self.end = end
        self.begin = begin
        self.until = until

    def __call__(self, progress: float) -> float:
        """Return the factor in [0, 1]."""
        if progress >= self.until:
            return self.end
        if progress <= self.begin:
            return self.start
        return self.start + (self.end - self.start) * self.shape((progress - self.begin) / (self.until - self.begin))

    @abstractmethod
    def shape(self, x: float) -> float:
        """Return the share of the transition, from 0 at x = 0 to 1 at x = 1."""


class LinearWeight(Ramp):
    """Linear transition; see `Ramp` for the arguments."""

    def shape(self, x: float) -> float:
        """Return x."""
        return x


class CosineWeight(Ramp):
    """Transition along half a cosine, `(1 - cos(pi x)) / 2`; see `Ramp` for the arguments."""

    def shape(self, x: float) -> float:
        """Return `(1 - cos(pi x)) / 2`."""
        return (1 - math.cos(math.pi * x)) / 2
