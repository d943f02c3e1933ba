"""GLUE's metrics by name: as torchmetrics collections for validation, and as one number for a sweep."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection, PearsonCorrCoef, SpearmanCorrCoef
from torchmetrics.classification import BinaryF1Score, MulticlassAccuracy, MulticlassMatthewsCorrCoef

from acl_lightning.errors import UserError


class _DefinedPearson(PearsonCorrCoef):
    """Pearson correlation that is 0, not NaN, for constant predictions: a NaN would freeze every monitor."""

    def compute(self) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "variance ... close to zero": answered by the definition above
            return torch.nan_to_num(super().compute(), nan=0.0)


class _DefinedSpearman(SpearmanCorrCoef):
    """Spearman correlation that is 0, not NaN, for constant predictions."""

    def compute(self) -> Tensor:
        return torch.nan_to_num(super().compute(), nan=0.0)


def _spearman(_: int) -> Metric:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it keeps all predictions: a GLUE validation set fits
        return _DefinedSpearman()


#: Metric name -> constructor from the number of classes (1 for regression). All are "larger is better", at most 1.
METRICS: dict[str, Callable[[int], Metric]] = {
    "accuracy": lambda num_labels: MulticlassAccuracy(num_labels, average="micro"),
    "f1": lambda _: BinaryF1Score(),
    "matthews": MulticlassMatthewsCorrCoef,
    "pearson": lambda _: _DefinedPearson(),
    "spearman": _spearman,
}


def build_metrics(names: Sequence[str], num_labels: int) -> MetricCollection:
    """The metrics `names`, to be fed predictions (class indices, or values for regression) and labels.

    F1 is that of class 1, accuracy is micro-averaged, as GLUE defines them. Correlations of constant predictions are 0.

    Raises:
        UserError: an unknown name.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise UserError(f"metrics among {', '.join(METRICS)}", f"{unknown or 'none'}", "Check model.metric_names.")
    return MetricCollection({name: METRICS[name](num_labels) for name in names})


def predictions(logits: Tensor) -> Tensor:
    """Class index (..., C) -> (...), or the value itself for regression (C = 1)."""
    return logits.squeeze(-1) if logits.shape[-1] == 1 else logits.argmax(dim=-1)


def quality(name: str, predictions_n: Tensor, labels_n: Tensor, num_labels: int) -> float:
    """One metric of one set of predictions, in the metric's own unit (1 is perfect).

    Rounded to six digits: torchmetrics computes in float32, and 0.7 must not lose to a bound of 0.7.
    """
    metric = METRICS[name](num_labels)
    metric.update(predictions_n, labels_n)
    return round(float(metric.compute()), 6)
