"""Trials that a runner takes one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from acl_lightning.studies.trials.trial import Trial


class TrialQueue(Protocol):
    """Source of the trials of a study."""

    @property
    def total(self) -> int:
        """Number of trials of the study."""

    def take(self) -> Trial | None:
        """Return the next trial; None where there is none at present."""

    def done(self, trial: Trial) -> None:
        """Note that a trial has finished or failed for good."""


class GridQueue:
    """The trials of a grid, in order.

    Args:
        trials: The trials.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.total = len(trials)
        self._waiting = deque(trials)

    def take(self) -> Trial | None:
        """Return the next trial; None after the last."""
        return self._waiting.popleft() if self._waiting else None

    def done(self, trial: Trial) -> None:
        """Do nothing: what a grid contains does not depend on results."""
