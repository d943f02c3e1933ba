"""GLUE's metrics by name: as torchmetrics collections for validation, and as one number for a sweep."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection, PearsonCorrCoef, SpearmanCorrCoef
from torchmetrics.classification import BinaryF1Score, MulticlassAccuracy, MulticlassMatthewsCorrCoef

from acl_lightning.errors import UserError
from acl_lightning.outputs import predictions


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


def quality(name: str, predictions_n: Tensor, labels_n: Tensor, num_labels: int) -> float:
    """One metric of one set of predictions, in the metric's own unit (1 is perfect).

    Rounded to six digits: torchmetrics computes in float32, and 0.7 must not lose to a bound of 0.7. Of this process
    alone, so that one of several may ask about rows that it gathered.
    """
    metric = METRICS[name](num_labels)
    return round(float(metric(predictions_n, labels_n)), 6)


class ExitMetrics(nn.Module):
    """The task's metrics of one evaluation: for every validation set and exit, and on the half that is chosen by.

    Every set and exit has a collection of its own: sharing one would average over them. With several processes the rows
    that pad the last batch are counted twice here; `ExitSweep`, whose numbers are the reported ones, drops them.

    Args:
        names: metrics, the primary one first.
        num_labels: C; 1 for regression.
        exit_layers: layer of each exit.
        num_sets: number of validation sets; MNLI has two.
    """

    def __init__(self, names: Sequence[str], num_labels: int, exit_layers: Sequence[int], num_sets: int = 1) -> None:
        super().__init__()
        self.primary = names[0]
        self.exit_layers = tuple(exit_layers)

        def per_exit() -> nn.ModuleList:
            return nn.ModuleList(build_metrics(names, num_labels) for _ in exit_layers)

        self.sets = nn.ModuleList(per_exit() for _ in range(num_sets))
        self.selection = per_exit()
        self.has_selection = False

    def update(self, logits_EBC: Tensor, labels_B: Tensor, selection_B: Tensor | None, number: int = 0) -> None:
        """Count a batch of validation set `number`; the selection half is that of the first set."""
        answers_EB = predictions(logits_EBC)
        for metrics, answers_B in zip(_collections(self.sets[number]), answers_EB, strict=True):
            metrics.update(answers_B, labels_B)
        if selection_B is None or number > 0:
            return
        self.has_selection = True
        chosen = selection_B.nonzero().squeeze(1)
        if len(chosen):
            for metrics, answers_B in zip(_collections(self.selection), answers_EB, strict=True):
                metrics.update(answers_B[chosen], labels_B[chosen])

    def compute(self) -> Iterator[tuple[int, int, dict[str, Tensor]]]:
        """Number of the set, layer of the exit, and the metrics by name; sets that were not evaluated are left out."""
        for number, per_exit in enumerate(self.sets):
            for layer, metrics in zip(self.exit_layers, _collections(per_exit), strict=True):
                if metrics[self.primary].update_called:
                    yield number, layer, metrics.compute()

    def on_selection_half(self) -> Tensor | None:
        """Primary metric (E,) of every exit on the selection half; None where no half is marked.

        Whether it is None is the same on every process, unlike whether one of them saw a chosen row.
        """
        if not self.has_selection:
            return None
        return torch.stack([metrics.compute()[self.primary] for metrics in _collections(self.selection)])


def _collections(modules: nn.Module) -> list[MetricCollection]:
    return [module for module in modules.children() if isinstance(module, MetricCollection)]
