"""One criterion at one threshold: how good, how fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class OperatingPoint:
    """What a criterion does at one threshold, measured on validation data cut in two halves.

    Thresholds are chosen by the `*_selection` figures and reported by the others, which are of the report half; no
    sample is in both. Speed-ups are named in full, because five conventions exist in print.

    Attributes:
        criterion: name of the criterion.
        threshold: its threshold.
        quality: the task's primary metric (a fraction, not percent) on the report half; NaN where it is undefined.
        mean_exit_layer: mean over the samples of the layer (counted from 1) at which they leave.
        layer_speedup: depth / mean_exit_layer.
        layer_saving: 1 - mean_exit_layer / depth.
        flops_speedup: FLOPs of the plain model at full depth / mean FLOPs of leaving where the samples leave: with a
            criterion all exits on the way are evaluated, a static exit is evaluated alone. The exit row comes before
            the rest of its layer, as in batches of at least 128 tokens; `latency` states the FLOPs of each mode.
        shares_E: share of the samples that leave at each exit; sums to 1.
        quality_selection: as `quality`, on the selection half.
        layer_speedup_selection: as `layer_speedup`, on the selection half.
        flops_speedup_selection: as `flops_speedup`, on the selection half.
        shares_selection_E: as `shares_E`, on the selection half.
        settings: the criterion's other settings, by name: the bound of a two-parameter criterion.
    """

    criterion: str
    threshold: float
    quality: float
    mean_exit_layer: float
    layer_speedup: float
    layer_saving: float
    flops_speedup: float
    shares_E: tuple[float, ...]
    quality_selection: float
    layer_speedup_selection: float
    flops_speedup_selection: float
    shares_selection_E: tuple[float, ...]
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def leaves_early(self) -> bool:
        """Whether any sample of the report half leaves before the last exit."""
        return any(share > 0 for share in self.shares_E[:-1])

    @property
    def settings_text(self) -> str:
        """The settings for a table: `bound=0.2`; empty where there are none."""
        return ", ".join(f"{name}={value:g}" for name, value in self.settings.items())
