"""Is an exit right as often as it is sure? Reliability diagram and expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Bin:
    """Samples of similar confidence.

    Attributes:
        count: their number.
        confidence: mean probability of the predicted class; NaN where there are none.
        accuracy: share that is right; NaN where there are none.
    """

    count: int
    confidence: float
    accuracy: float


def reliability(logits_BC: Tensor, labels_B: Tensor, *, temperature: float = 1.0, bins: int = 15) -> list[Bin]:
    """Confidence and accuracy in `bins` bins of equal width over confidence; bin i holds (i/bins, (i+1)/bins]."""
    probability_B, predicted_B = (logits_BC.double() / temperature).softmax(dim=-1).max(dim=-1)
    bin_B = ((probability_B * bins).ceil().long() - 1).clamp(0, bins - 1)
    count_N = bin_B.bincount(minlength=bins).double()
    confidence_N = bin_B.bincount(probability_B, minlength=bins) / count_N
    accuracy_N = bin_B.bincount((predicted_B == labels_B).double(), minlength=bins) / count_N
    columns = (count_N.long().tolist(), confidence_N.tolist(), accuracy_N.tolist())
    return [Bin(*values) for values in zip(*columns, strict=True)]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: `sum_i count_i / n * |accuracy_i - confidence_i|` (Guo et al., 2017)."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.accuracy - one.confidence) for one in bins if one.count) / total
