"""Metrics of classification and regression, in float64.

Pearson's correlation is that of torchmetrics. Accuracy, F1 and Matthews correlation are computed here: torchmetrics
returns them in float32, and its Matthews correlation of constant predictions is not 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from acl_lightning.errors import UserError

#: (predictions (n,), labels (n,)) -> metric, a float64 scalar on the device of the arguments.
Metric = Callable[[Tensor, Tensor], Tensor]


def accuracy(predictions_n: Tensor, labels_n: Tensor) -> Tensor:
    """Return the share of predictions that equal their label; 0 without samples."""
    return (predictions_n == labels_n).double().sum() / max(1, len(labels_n))


def f1(predictions_n: Tensor, labels_n: Tensor) -> Tensor:
    """Return the F1 score of class 1, `2 TP / (2 TP + FP + FN)`; 0 where no label and no prediction is 1."""
    predicted_n, true_n = predictions_n == 1, labels_n == 1
    return 2 * (predicted_n & true_n).double().sum() / (predicted_n.sum() + true_n.sum()).clamp(min=1)


def matthews(predictions_n: Tensor, labels_n: Tensor) -> Tensor:
    """Return Matthews correlation for any number of classes; 0 where predictions or labels are constant.

    With s samples, c correct ones, `p_k` predictions and `t_k` labels of class k:
    `(c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2))` (Gorodkin, 2004).
    """
    size = len(labels_n)
    true_k, predicted_k, hits_k = _counts(predictions_n, labels_n)
    covariance = hits_k.sum() * size - predicted_k @ true_k
    scale = (size**2 - predicted_k @ predicted_k) * (size**2 - true_k @ true_k)
    return torch.where(scale > 0, covariance / scale.where(scale > 0, 1.0).sqrt(), 0.0)


def macro_f1(predictions_n: Tensor, labels_n: Tensor) -> Tensor:
    """Return the unweighted mean of the F1 scores of the classes that occur in the labels or the predictions.

    Classes that occur in neither do not count, as in scikit-learn; 0 without samples.
    """
    true_k, predicted_k, hits_k = _counts(predictions_n, labels_n)
    scores_k = 2 * hits_k / (true_k + predicted_k)
    return scores_k.sum() / max(1, len(scores_k))


def balanced_accuracy(predictions_n: Tensor, labels_n: Tensor) -> Tensor:
    """Return the mean recall of the classes that occur in the labels; 0 without samples."""
    true_k, _, hits_k = _counts(predictions_n, labels_n)
    occurs_k = true_k > 0
    return (hits_k[occurs_k] / true_k[occurs_k]).sum() / max(1, int(occurs_k.sum()))


def r2(predictions_n: Tensor, labels_n: Tensor) -> Tensor:
    """Return the share of the labels' variance that the predictions explain, `1 - sum (y - p)^2 / sum (y - mean y)^2`.

    It is 1 at best, and negative for predictions that are worse than the mean label; 0 where the labels are constant.
    """
    labels_n = labels_n.double()
    total = (labels_n - labels_n.mean()).square().sum() if len(labels_n) else labels_n.sum()
    residual = (labels_n - predictions_n.double()).square().sum()
    return torch.where(total > 0, 1 - residual / total.where(total > 0, 1.0), 0.0)


def pearson(predictions_n: Tensor, labels_n: Tensor) -> Tensor:
    """Return Pearson's correlation; 0 where predictions or labels are constant, so that monitors never see NaN."""
    from torchmetrics.functional.regression import pearson_corrcoef  # noqa: PLC0415 - it imports for seconds

    sides = (predictions_n.double(), labels_n.double())
    if len(labels_n) < 2 or any(bool((values_n == values_n[0]).all()) for values_n in sides):
        return torch.zeros((), dtype=torch.float64, device=labels_n.device)  # torchmetrics returns NaN
    return pearson_corrcoef(*sides).nan_to_num(0.0)


def spearman(predictions_n: Tensor, labels_n: Tensor) -> Tensor:
    """Return Spearman's correlation: Pearson's correlation of the ranks, where ties share their mean rank.

    The ranks are not those of torchmetrics, which are float32 and give errors of 1e-8.
    """
    return pearson(ranks(predictions_n), ranks(labels_n))


#: Metric name -> function. All are "larger is better", at most 1.
METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "balanced_accuracy": balanced_accuracy,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
    "r2": r2,
}

#: Metrics of a regression; all others are metrics of a classification.
REGRESSION_METRICS = ("pearson", "spearman", "r2")


def check_metrics(names: Sequence[str], num_classes: int | None = None) -> None:
    """Check the names of the metrics of a task.

    Args:
        names: Names of metrics.
        num_classes: Number of classes, 0 for a regression; None: unknown.

    Raises:
        UserError: There is no name, one that is not in `METRICS`, or a metric that the task does not have: of a
            regression for classes or the other way round, or `f1` (of class 1) with more than two classes.
    """
    known = list(METRICS)
    if num_classes is not None:
        known = [name for name in METRICS if (name in REGRESSION_METRICS) == (num_classes == 0)]
    if num_classes is not None and num_classes > 2:
        known.remove("f1")
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        task = "" if num_classes is None else f" for {f'{num_classes} classes' if num_classes else 'a regression'}"
        example = "pearson" if num_classes == 0 else "accuracy"
        raise UserError(
            f"metrics among {', '.join(known)}{task}",
            ", ".join(unknown) or "none",
            f"Set data.metrics (without a DataModule, metric_names) to [{example}].",
        )


def quality(name: str, predictions_n: Tensor, labels_n: Tensor) -> float:
    """Return a metric as a fraction (1 is perfect), rounded to six digits.

    It is rounded so that a quality of 0.7 keeps a budget of 0.7. Nothing is synchronised over processes.
    """
    return round(float(METRICS[name](predictions_n, labels_n)), 6)


def _counts(predictions_n: Tensor, labels_n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the number of labels, predictions and hits, float64, of every class that occurs in either."""
    size = len(labels_n)
    _, codes = torch.unique(torch.cat([predictions_n, labels_n]), return_inverse=True)
    num_classes = int(codes.max()) + 1 if size else 0
    predicted, true = codes[:size], codes[size:]
    counts = (torch.bincount(part, minlength=num_classes) for part in (true, predicted, true[true == predicted]))
    true_k, predicted_k, hits_k = (part.double() for part in counts)
    return true_k, predicted_k, hits_k


def ranks(values_n: Tensor) -> Tensor:
    """Return the rank of each value, from 1, float64; ties get their mean rank."""
    _, group_n, counts_g = torch.unique(values_n, return_inverse=True, return_counts=True)
    counts_g = counts_g.double()
    ranks_g: Tensor = counts_g.cumsum(0) - (counts_g - 1) / 2
    return ranks_g[group_n]
