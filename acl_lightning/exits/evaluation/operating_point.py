"""Points of a quality-speed curve. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acl_lightning.exits.criteria.base import Criterion

#: Name of the criterion with which all samples leave at the same exit.
STATIC = "static"


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A point of a quality-speed curve.

    Speed-ups are named in full, because several conventions are in use.

    Attributes:
        quality: Primary metric, a fraction; NaN where it is undefined.
        mean_exit_layer: Mean over the samples of the layer (counted from 1) at which they leave.
        layer_speedup: Depth / `mean_exit_layer`.
        flops_speedup: FLOPs of the plain model at full depth / mean FLOPs of leaving where the samples leave. With a
            criterion all exits on the way are evaluated; a static exit is evaluated alone.
    """

    quality: float
    mean_exit_layer: float
    layer_speedup: float
    flops_speedup: float


@dataclass(frozen=True, kw_only=True)
class OperatingPoint(CurvePoint):
    """A criterion at one threshold, measured on both splits of the validation data.

    The fields that end in `_selection` are measured on the selection split, by which points are selected. All others
    are measured on the report split. No sample is in both. The FLOPs assume that an exit row is computed before the
    rest of its layer, as in batches of at least 128 tokens; `latency` states the FLOPs of each mode.

    Attributes:
        criterion: The criterion with all its settings.
        threshold: Certainty at which a sample leaves.
        layer_saving: 1 - `mean_exit_layer` / depth.
        shares_E: Share of the samples that leave at each exit; sums to 1.
        quality_selection: `quality` on the selection split.
        layer_speedup_selection: `layer_speedup` on the selection split.
        flops_speedup_selection: `flops_speedup` on the selection split.
        shares_selection_E: `shares_E` on the selection split.
        lost_selection: Number of samples of the selection split that full depth answers correctly and this point does
            not; None for a regression.
        gained_selection: Number that this point answers correctly and full depth does not.
        num_selection: Number of samples of the selection split.
    """

    criterion: Criterion
    threshold: float
    layer_saving: float
    shares_E: tuple[float, ...]
    quality_selection: float
    layer_speedup_selection: float
    flops_speedup_selection: float
    shares_selection_E: tuple[float, ...]
    lost_selection: int | None = None
    gained_selection: int | None = None
    num_selection: int | None = None

    @property
    def criterion_name(self) -> str:
        """Name of the criterion."""
        return self.criterion.name

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the criterion by name, for example the bound of a criterion with two parameters."""
        return self.criterion.settings

    @property
    def settings_text(self) -> str:
        """The settings for a table: `bound=0.2`; empty where there are none."""
        return ", ".join(f"{name}={value:g}" for name, value in self.settings.items())

    @property
    def is_static(self) -> bool:
        """Whether all samples leave at the same exit, and only this exit is evaluated."""
        return self.criterion_name == STATIC

    @property
    def leaves_early(self) -> bool:
        """Whether any sample of the report split leaves before the last exit."""
        return any(share > 0 for share in self.shares_E[:-1])


def full_depth(points: Sequence[OperatingPoint]) -> OperatingPoint:
    """Return the point of a sweep at which no sample leaves early: the deepest static exit."""
    return max((point for point in points if point.is_static), key=lambda point: point.threshold)


def table_rows(points: Sequence[OperatingPoint], exit_layers: Sequence[int]) -> tuple[list[str], list[list[Any]]]:
    """Return the column names of `exit_sweep.csv`, and one row per point."""
    numbers = ("quality", "quality_selection", "mean_exit_layer", "layer_speedup", "layer_saving", "flops_speedup")
    header = ["criterion", "threshold", "settings", *numbers, *(f"share_exit_{layer}" for layer in exit_layers)]
    rows = [
        [
            point.criterion_name,
            point.threshold,
            point.settings_text,
            *(getattr(point, number) for number in numbers),
            *point.shares_E,
        ]
        for point in points
    ]
    return header, rows
