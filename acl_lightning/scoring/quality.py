"""Quality on scored rows with labels, and how far confidences exceed it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acl_lightning.scoring.tally import Tally

#: Quantile of the normal distribution for two-sided intervals of 95 %.
Z_95 = 1.959964


@dataclass(frozen=True)
class MeasuredQuality:
    """Quality on the labelled rows.

    Attributes:
        labelled_rows: Number of rows with a label and an answer.
        metrics: Name -> value: `accuracy`, `f1` (two classes; the second is positive) and `matthews` for a
            classification, `pearson` for a regression; None where it is not defined.
        accuracy_interval: Wilson interval of the accuracy at 95 %; None for a regression.
        mean_confidence: Mean confidence of the labelled rows; None for a regression.
        overconfident: Whether the mean confidence exceeds the accuracy by more than chance explains, at the
            false-alarm rate of the report.
        metric: Metric in which the package was measured.
    """

    labelled_rows: int
    metrics: dict[str, float | None]
    accuracy_interval: tuple[float, float] | None
    mean_confidence: float | None
    overconfident: bool
    metric: str

    def findings(self, validation: float | None) -> list[str]:
        """Return the quality in sentences.

        Args:
            validation: Quality of the package on its validation rows, in `metric`.
        """
        value = self.metrics.get(self.metric)
        known = f", {validation:.4f} on validation" if validation is not None and value is not None else ""
        name = self.metric if value is not None else next(iter(self.metrics))
        value = self.metrics[name]
        shown = "not defined" if value is None else f"{value:.4f}"
        interval = ""
        if name == "accuracy" and self.accuracy_interval is not None:
            interval = f" (95 % interval {self.accuracy_interval[0]:.4f} to {self.accuracy_interval[1]:.4f})"
        findings = [f"Quality on {self.labelled_rows} rows with labels: {name} {shown}{interval}{known}."]
        accuracy = self.metrics.get("accuracy")
        if self.mean_confidence is not None and accuracy is not None:
            points = 100 * (self.mean_confidence - accuracy)
            text = f"mean confidence {self.mean_confidence:.4f}, {abs(points):.1f} points "
            text += "above the accuracy" if points >= 0 else "below the accuracy"
            verdict = "The answers are overconfident" if self.overconfident else "Calibration"
            findings.append(f"{verdict}: {text}.")
        return findings


def measured_quality(tally: Tally, metric: str, false_alarm_rate: float) -> MeasuredQuality | None:
    """Return the quality on the labelled rows; None without any.

    Answers count as overconfident where `overconfidence_bound` is less than the false-alarm rate.

    Args:
        tally: Counts of the scored rows.
        metric: Metric in which the package was measured.
        false_alarm_rate: Largest probability that well calibrated answers are called overconfident.
    """
    n = tally.labelled
    if not n:
        return None
    if not len(tally.confusion):
        return MeasuredQuality(n, {"pearson": pearson(tally.moments)}, None, None, False, metric)
    confusion = tally.confusion.astype(np.float64)
    accuracy, confidence = float(np.trace(confusion) / n), tally.confidence_sum / n
    overconfident = overconfidence_bound(accuracy, confidence, n) < false_alarm_rate
    metrics = {"accuracy": accuracy, "matthews": matthews(confusion)}
    if len(confusion) == 2:
        metrics["f1"] = f1(confusion)
    return MeasuredQuality(n, metrics, wilson_interval(accuracy, n), confidence, overconfident, metric)


def overconfidence_bound(accuracy: float, confidence: float, n: int) -> float:
    """Return an upper bound of the probability of an accuracy as low as measured if the confidences were right.

    If the answer to row i is right with the probability that its confidence states, independently of the other rows, an
    accuracy of at most a < c has at most the probability `exp(-n KL(a || c))`, with the mean confidence c and
    `KL(a || c) = a ln(a / c) + (1 - a) ln((1 - a) / (1 - c))` (Hoeffding 1963, theorem 1).

    Args:
        accuracy: Share a of right answers.
        confidence: Mean confidence c.
        n: Number of rows.

    >>> round(overconfidence_bound(0.80, 0.90, 100), 4)
    0.0117
    """
    if accuracy >= confidence:
        return 1.0
    if confidence >= 1:
        return 0.0
    right = accuracy * math.log(accuracy / confidence) if accuracy else 0.0
    return math.exp(-n * (right + (1 - accuracy) * math.log((1 - accuracy) / (1 - confidence))))


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Return the Wilson interval at 95 % of a share of n rows.

    >>> tuple(round(bound, 3) for bound in wilson_interval(0.9, 100))
    (0.826, 0.945)
    """
    center = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    return max(0.0, center - half), min(1.0, center + half)


def matthews(confusion_CC: NDArray[np.float64]) -> float | None:
    """Return the Matthews correlation of a confusion matrix (label, prediction); None where a side has one class.

    >>> matthews(np.array([[5.0, 0.0], [0.0, 5.0]]))
    1.0
    """
    truth_C, predicted_C, n = confusion_CC.sum(axis=1), confusion_CC.sum(axis=0), confusion_CC.sum()
    covariance = np.trace(confusion_CC) * n - truth_C @ predicted_C
    variance = (n**2 - truth_C @ truth_C) * (n**2 - predicted_C @ predicted_C)
    return float(covariance / math.sqrt(variance)) if variance > 0 else None


def f1(confusion_22: NDArray[np.float64]) -> float | None:
    """Return F1 of the second class; None where neither labels nor predictions contain it.

    >>> f1(np.array([[5.0, 1.0], [1.0, 3.0]]))
    0.75
    """
    both = confusion_22[1].sum() + confusion_22[:, 1].sum()
    return float(2 * confusion_22[1, 1] / both) if both else None


def pearson(moments: NDArray[np.float64]) -> float | None:
    """Return the correlation from the sums 1, x, y, x^2, y^2, x y; None where a side is constant."""
    n, x, y, xx, yy, xy = moments.tolist()
    variance = (n * xx - x * x) * (n * yy - y * y)
    return (n * xy - x * y) / math.sqrt(variance) if n > 1 and variance > 0 else None
