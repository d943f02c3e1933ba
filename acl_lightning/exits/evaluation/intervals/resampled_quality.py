"""Quality metrics of many resamples at once. A resample is the number of times that each sample was drawn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from acl_lightning.errors import UserError

#: (predictions (P, B), labels (B,), draws (R, B)) -> quality (R, P), float64, for P predictors (operating points or
#: exits) and R resamples.
ResampledQuality = Callable[[Tensor, Tensor, Tensor], Tensor]


def accuracy(predictions_PB: Tensor, labels_B: Tensor, draws_RB: Tensor) -> Tensor:
    """Return the share of correct predictions (R, P)."""
    hits_PB = (predictions_PB == labels_B).to(draws_RB)
    return draws_RB @ hits_PB.T / draws_RB.sum(dim=1, keepdim=True)


def f1(predictions_PB: Tensor, labels_B: Tensor, draws_RB: Tensor) -> Tensor:
    """Return F1 of class 1 (R, P): `2 TP / (2 TP + FP + FN)`; 0 where no label and no prediction is 1."""
    positive_PB, positive_B = (predictions_PB == 1).to(draws_RB), (labels_B == 1).to(draws_RB)
    true_RP = draws_RB @ (positive_PB * positive_B).T
    either_RP = draws_RB @ positive_PB.T + (draws_RB @ positive_B).unsqueeze(1)
    return _ratio(2 * true_RP, either_RP)


def matthews(predictions_PB: Tensor, labels_B: Tensor, draws_RB: Tensor) -> Tensor:
    """Return Matthews correlation for any number of classes (R, P); 0 where predictions or labels are constant.

    With s samples, c correct predictions, p_k predictions and t_k labels of class k:
    `(c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2))` (Gorodkin, 2004).
    """
    size_R1 = draws_RB.sum(dim=1, keepdim=True)
    right_RP = draws_RB @ (predictions_PB == labels_B).to(draws_RB).T
    cross_RP, squares_RP = torch.zeros_like(right_RP), torch.zeros_like(right_RP)
    true_RC = _class_counts(labels_B, draws_RB, _num_classes(predictions_PB, labels_B))
    for number, predictions_B in enumerate(predictions_PB):
        predicted_RC = _class_counts(predictions_B, draws_RB, true_RC.shape[1])
        cross_RP[:, number] = (predicted_RC * true_RC).sum(dim=1)
        squares_RP[:, number] = predicted_RC.square().sum(dim=1)
    true_squares_R1 = true_RC.square().sum(dim=1, keepdim=True)
    below_RP = ((size_R1.square() - squares_RP) * (size_R1.square() - true_squares_R1)).sqrt()
    return _ratio(right_RP * size_R1 - cross_RP, below_RP)


def macro_f1(predictions_PB: Tensor, labels_B: Tensor, draws_RB: Tensor) -> Tensor:
    """Return the mean F1 of the classes among the drawn labels or predictions (R, P)."""
    return _mean_over_classes(predictions_PB, labels_B, draws_RB, lambda true, predicted: (true + predicted) / 2)


def balanced_accuracy(predictions_PB: Tensor, labels_B: Tensor, draws_RB: Tensor) -> Tensor:
    """Return the mean recall of the classes among the drawn labels (R, P)."""
    return _mean_over_classes(predictions_PB, labels_B, draws_RB, lambda true, _: true)


def r2(predictions_PB: Tensor, labels_B: Tensor, draws_RB: Tensor) -> Tensor:
    """Return the share of the labels' variance that the predictions explain (R, P); 0 where the labels are constant."""
    second_B = labels_B.to(draws_RB)
    second_B = second_B - second_B.mean()  # moments of values far from 0 would cancel
    size_R1 = draws_RB.sum(dim=1, keepdim=True)
    residual_RP = draws_RB @ (predictions_PB.to(draws_RB) - labels_B.to(draws_RB)).square().T
    mean_R1 = (draws_RB @ second_B).unsqueeze(1) / size_R1
    total_R1 = (draws_RB @ second_B.square()).unsqueeze(1) - size_R1 * mean_R1.square()
    varies_R1 = total_R1 > second_B.square().mean() * size_R1 * 1e-12
    return torch.where(varies_R1, 1 - residual_RP / total_R1.where(varies_R1, 1.0), 0.0)


def pearson(predictions_PB: Tensor, labels_B: Tensor, draws_RB: Tensor) -> Tensor:
    """Return Pearson's correlation (R, P); 0 where predictions or labels are constant."""
    first_PB, second_B = predictions_PB.to(draws_RB), labels_B.to(draws_RB)
    # Centred first: moments of values far from 0 would cancel.
    first_PB, second_B = first_PB - first_PB.mean(dim=1, keepdim=True), second_B - second_B.mean()
    share_RB = draws_RB / draws_RB.sum(dim=1, keepdim=True)
    means_RP, mean_R1 = share_RB @ first_PB.T, (share_RB @ second_B).unsqueeze(1)
    covariance_RP = share_RB @ (first_PB * second_B).T - means_RP * mean_R1
    variances_RP = share_RB @ first_PB.square().T - means_RP.square()
    variance_R1 = (share_RB @ second_B.square()).unsqueeze(1) - mean_R1.square()
    # A variance below rounding error counts as 0.
    scale_RP = first_PB.square().mean(dim=1) * second_B.square().mean() * 1e-24
    product_RP = variances_RP.clamp_min(0) * variance_R1.clamp_min(0)
    return _ratio(covariance_RP, torch.where(product_RP > scale_RP, product_RP, 0.0).sqrt())


def spearman(predictions_PB: Tensor, labels_B: Tensor, draws_RB: Tensor) -> Tensor:
    """Return Spearman's rank correlation (R, P): Pearson's of the ranks in each resample, ties at their mean rank."""
    columns = []
    for draws_B in draws_RB:
        ranks_PB = torch.stack([_ranks(values_B, draws_B) for values_B in predictions_PB])
        columns.append(pearson(ranks_PB, _ranks(labels_B, draws_B), draws_B.unsqueeze(0))[0])
    return torch.stack(columns)


#: Metric name -> the metric of many resamples. The names are those of `acl_lightning.metrics`.
RESAMPLED: dict[str, ResampledQuality] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "balanced_accuracy": balanced_accuracy,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
    "r2": r2,
}


def resampled_quality(metric: str) -> ResampledQuality:
    """Return the metric of that name.

    Raises:
        UserError: There is no such metric.
    """
    if metric not in RESAMPLED:
        raise UserError(
            f"a metric among {', '.join(RESAMPLED)}", metric, "Use the name of a metric that has intervals."
        )
    return RESAMPLED[metric]


def _mean_over_classes(
    predictions_PB: Tensor, labels_B: Tensor, draws_RB: Tensor, below: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return the mean (R, P) of `hits / below(true, predicted)` over the classes for which `below` is not 0."""
    num_classes = _num_classes(predictions_PB, labels_B)
    true_RC = _class_counts(labels_B, draws_RB, num_classes)
    columns = []
    for predictions_B in predictions_PB:
        predicted_RC = _class_counts(predictions_B, draws_RB, num_classes)
        hits_RC = _class_counts(labels_B, draws_RB * (predictions_B == labels_B), num_classes)
        below_RC = below(true_RC, predicted_RC)
        columns.append(_ratio(hits_RC, below_RC).sum(dim=1) / (below_RC > 0).sum(dim=1).clamp(min=1))
    return torch.stack(columns, dim=1)


def _num_classes(predictions_PB: Tensor, labels_B: Tensor) -> int:
    return int(max(predictions_PB.max(), labels_B.max())) + 1


def _class_counts(classes_B: Tensor, draws_RB: Tensor, num_classes: int) -> Tensor:
    """Return how often each class was drawn (R, C)."""
    return draws_RB.new_zeros(len(draws_RB), num_classes).index_add_(1, classes_B.long(), draws_RB)


def _ranks(values_B: Tensor, draws_B: Tensor) -> Tensor:
    """Return the mean rank of each value among the drawn samples, from 1."""
    _, group_B = torch.unique(values_B, sorted=True, return_inverse=True)
    counts_G = draws_B.new_zeros(int(group_B.max()) + 1).index_add_(0, group_B, draws_B)
    return (counts_G.cumsum(0) - (counts_G - 1) / 2)[group_B]


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / below.where(below > 0, 1.0), 0.0)
