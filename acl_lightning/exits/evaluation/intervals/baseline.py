"""Best constant answer, with which exits and operating points are compared."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from acl_lightning.exits.evaluation.intervals.bootstrap import draw_counts, interval_bounds
from acl_lightning.exits.evaluation.intervals.resampled_quality import resampled_quality
from acl_lightning.exits.evaluation.report import Baseline, Interval


def constant_baseline(labels_B: Tensor, num_classes: int, quality: Callable[[Tensor, Tensor], float]) -> Baseline:
    """Return the constant answer of the highest quality on the samples; of equal ones the most frequent class.

    Args:
        labels_B: Classes, or values for a regression, of the report split.
        num_classes: Number of classes; 1 for a regression.
        quality: Predictions (B,) and labels (B,) to the metric.
    """
    if num_classes == 1:
        constant_B = labels_B.double().mean().to(labels_B.dtype).expand(len(labels_B)).clone()
        return Baseline(None, False, quality(constant_B, labels_B))
    counts = labels_B.long().bincount(minlength=num_classes).tolist()
    qualities = [quality(torch.full_like(labels_B, label), labels_B) for label in range(num_classes)]
    best = max(range(num_classes), key=lambda label: (qualities[label], counts[label], -label))
    return Baseline(best, counts[best] == max(counts), qualities[best])


def lead_intervals(
    answers_PB: Tensor, labels_B: Tensor, baseline: Baseline, *, metric: str, resamples: int = 1000, seed: int = 0
) -> list[Interval]:
    """Return 95 % intervals of the lead of P predictors over a constant answer, in hundredths of the metric.

    The bootstrap is paired: every resample measures the predictor and the constant answer on the same samples.

    Args:
        answers_PB: Answers of each predictor.
        labels_B: Classes, or values for a regression.
        baseline: The constant answer.
        metric: Name of the metric.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    constant = labels_B.double().mean() if baseline.label is None else baseline.label
    constant_1B = torch.full_like(answers_PB[:1], float(constant))
    together = torch.cat([answers_PB, constant_1B])
    measure = resampled_quality(metric)
    qualities = [measure(together, labels_B, draws_RB) for draws_RB in draw_counts(len(labels_B), resamples, seed)]
    quality_RP = torch.cat(qualities)
    return [Interval(*bound) for bound in interval_bounds(100 * (quality_RP[:, :-1] - quality_RP[:, -1:]))]
