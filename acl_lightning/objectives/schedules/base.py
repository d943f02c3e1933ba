"""Base class of the schedules, and the constant weight."""

from __future__ import annotations

from abc import ABC, abstractmethod


class WeightSchedule(ABC):
    """Factor in [0, 1] of the weight of a term, as a function of the progress of the training.

    The weight of the objective is the weight at factor 1, its largest value.
    """

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Return the factor in [0, 1].

        Args:
            progress: Share of the optimiser steps of the run that are done, in [0, 1].
        """


class ConstantWeight(WeightSchedule):
    """Factor 1 throughout: the weight does not change. For a term in a list of schedules."""

    def __call__(self, progress: float) -> float:
        """Return 1."""
        return 1.0
