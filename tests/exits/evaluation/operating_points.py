"""Operating points with chosen numbers."""

from __future__ import annotations

from functools import cache

from acl_lightning.exits import Criterion, OperatingPoint, criterion_class


@cache
def criterion_named(name: str) -> Criterion:
    """The criterion `name` with its default settings, the same object in every call."""
    return criterion_class(name)()


def operating_point(criterion: str | Criterion, threshold: float = 0.5, **numbers) -> OperatingPoint:
    """A point with the given numbers; all others are those of a point of the other split that must not matter."""
    defaults = {
        "quality": -1.0,
        "mean_exit_layer": 6.0,
        "layer_speedup": 1.0,
        "layer_saving": 0.0,
        "flops_speedup": 1.0,
        "shares_E": (1.0,),
        "quality_selection": -1.0,
        "layer_speedup_selection": 1.0,
        "flops_speedup_selection": 1.0,
        "shares_selection_E": (1.0,),
    }
    built = criterion_named(criterion) if isinstance(criterion, str) else criterion
    return OperatingPoint(criterion=built, threshold=threshold, **{**defaults, **numbers})
