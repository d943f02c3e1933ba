"""Percentile bootstrap of quality and speed over the validation samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from acl_lightning.exits.evaluation.intervals.resampled_quality import resampled_quality
from acl_lightning.exits.evaluation.record import ExitCosts
from acl_lightning.exits.evaluation.report import Interval, PointIntervals

#: Quantiles of the resamples that bound a 95 % interval.
BOUNDS = (0.025, 0.975)

#: Size in bytes of the largest matrix of draws that is made at once.
CHUNK = 2**26


@dataclass(frozen=True)
class Resampled:
    """Measurements of P operating points on R resamples, float64.

    Attributes:
        quality_RP: The metric.
        full_quality_R1: The metric of the deepest exit.
        layer_speedup_RP: Depth / mean exit layer.
        flops_speedup_RP: FLOPs of full depth / mean FLOPs.
    """

    quality_RP: Tensor
    full_quality_R1: Tensor
    layer_speedup_RP: Tensor
    flops_speedup_RP: Tensor

    def intervals(self) -> list[PointIntervals]:
        """Return the intervals of each point."""
        columns = (
            self.quality_RP,
            100 * (self.full_quality_R1 - self.quality_RP),
            self.layer_speedup_RP,
            self.flops_speedup_RP,
        )
        bounds = [interval_bounds(values_RP) for values_RP in columns]
        return [PointIntervals(*(Interval(*bound) for bound in point)) for point in zip(*bounds, strict=True)]


def draw_indices(samples: int, resamples: int, seed: int = 0) -> Tensor:
    """Return the index of each draw of R resamples of B samples, with replacement: (R, B)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(samples, (resamples, samples), generator=generator)


def interval_bounds(values_RP: Tensor) -> list[tuple[float, float]]:
    """Return the 2.5th and 97.5th percentile over the resamples, for each of the P columns."""
    bounds_2P = values_RP.quantile(values_RP.new_tensor(BOUNDS), dim=0)
    return [(low, high) for low, high in bounds_2P.T.tolist()]


def bootstrap(
    exits_PB: Tensor,
    predictions_EB: Tensor,
    labels_B: Tensor,
    *,
    metric: str,
    costs: ExitCosts,
    static_P: Sequence[bool] | None = None,
    answers_PB: Tensor | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Resampled:
    """Measure P operating points on R resamples of the B samples (Efron's bootstrap).

    A resample draws B samples with replacement. All points and full depth are measured on the same resamples, by matrix
    products with the number of times that each sample was drawn.

    Args:
        exits_PB: Index of the exit at which each sample leaves at each point.
        predictions_EB: Predictions of every exit.
        labels_B: Classes, or values for a regression.
        metric: Name of the metric.
        costs: Costs of leaving at each exit.
        static_P: Whether each point is a static exit, where no other exit is evaluated. None: no point is static.
        answers_PB: Answer of each point. None: that of the exit at which the sample leaves.
        resamples: Number of resamples R.
        seed: Seed of the draws.

    Raises:
        UserError: The metric is unknown.
    """
    quality = resampled_quality(metric)
    if answers_PB is None:
        answers_PB = predictions_EB.gather(0, exits_PB)
    answers_PB = torch.cat([answers_PB, predictions_EB[-1:]])
    layers_PB = torch.tensor(costs.layers_E, dtype=torch.float64)[exits_PB]
    flops_PB = torch.stack(
        [
            torch.tensor(costs.flops_by(static=static), dtype=torch.float64)[exits_B]
            for exits_B, static in zip(exits_PB, static_P or [False] * len(exits_PB), strict=True)
        ]
    )
    parts = []
    for draws_RB in draw_counts(len(labels_B), resamples, seed):
        mean_layers_RP = draws_RB @ layers_PB.T / len(labels_B)
        mean_flops_RP = draws_RB @ flops_PB.T / len(labels_B)
        values_RP = quality(answers_PB, labels_B, draws_RB)
        speeds = (costs.depth / mean_layers_RP, costs.full_flops / mean_flops_RP)
        parts.append((values_RP[:, :-1], values_RP[:, -1:], *speeds))
    return Resampled(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def draw_counts(samples: int, resamples: int, seed: int) -> Iterator[Tensor]:
    """Yield the number of times that each sample was drawn (R, B), float64, in chunks of R that fit into memory."""
    for indices_RB in torch.split(draw_indices(samples, resamples, seed), max(1, CHUNK // (8 * samples))):
        ones_RB = torch.ones(indices_RB.shape, dtype=torch.float64)
        yield torch.zeros_like(ones_RB).scatter_add_(1, indices_RB, ones_RB)


def band(resampled: Resampled, speeds_G: Sequence[float], *, speed: str = "layer_speedup") -> list[Interval]:
    """Return the pointwise 95 % band of a curve at G speed-ups.

    The points of each resample are joined by straight lines over the mean cost (1 / speed-up): mixing two thresholds
    attains every point on such a line. Beyond its slowest and its fastest point a curve is constant.

    Args:
        resampled: Measurements of the points of the curve.
        speeds_G: Speed-ups, at least one value.
        speed: `layer_speedup` or `flops_speedup`.
    """
    costs_RP = 1 / getattr(resampled, f"{speed}_RP")
    values_RG = torch.stack(
        [
            interpolated(costs_P, quality_P, 1 / torch.tensor(speeds_G, dtype=torch.float64))
            for costs_P, quality_P in zip(costs_RP, resampled.quality_RP, strict=True)
        ]
    )
    return [Interval(*bound) for bound in interval_bounds(values_RG)]


def interpolated(costs_P: Tensor, quality_P: Tensor, at_G: Tensor) -> Tensor:
    """Return the quality (G,) at the costs `at_G`, by linear interpolation; points of equal cost are averaged."""
    distinct_C, group_P = torch.unique(costs_P, sorted=True, return_inverse=True)
    total_C: Tensor = torch.zeros_like(distinct_C).index_add_(0, group_P, quality_P)
    mean_C: Tensor = total_C / group_P.bincount(minlength=len(distinct_C))
    right_G = torch.searchsorted(distinct_C, at_G).clamp(1, max(1, len(distinct_C) - 1))
    if len(distinct_C) == 1:
        return mean_C.expand(len(at_G))
    low_G, high_G = distinct_C[right_G - 1], distinct_C[right_G]
    weight_G: Tensor = ((at_G - low_G) / (high_G - low_G)).clamp(0, 1)
    return mean_C[right_G - 1] * (1 - weight_G) + mean_C[right_G] * weight_G
