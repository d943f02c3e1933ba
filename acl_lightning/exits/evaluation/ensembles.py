"""Weights of ensembles of exits: uniform, or fitted on the selection split."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.ensembled import Ensembled
from acl_lightning.exits.criteria.static import Static
from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.report import EnsembleExit
from acl_lightning.exits.evaluation.sweep import Quality
from acl_lightning.outputs import predictions

#: Row m holds the weights of the exits 1 to m in the answer at exit m. The sum of a row is 1.
Weights = tuple[tuple[float, ...], ...]

#: Largest number of values (rows * exits * classes) that is computed at once.
CHUNK = 2**22

#: Weights below this share of their sum are set to 0.
_NEGLIGIBLE = 1e-4

#: Limits of the fit: steps, halvings of a step, gradient at which it ends, and largest weight (correct predictions only
#: let weights grow without bound).
_STEPS, _HALVINGS, _PRECISION, _LARGEST = 100, 40, 1e-8, 1e3


class Ensemble(ABC):
    """Rule that gives the weights of the exits in the answer at each exit, see `Ensembled`.

    Attributes:
        is_fitted: Whether the weights depend on the samples.
    """

    is_fitted: ClassVar[bool] = True

    @abstractmethod
    def weights(self, logits_EBC: Tensor, labels_B: Tensor) -> Weights:
        """Return the weights from the exit logits and labels of the selection split."""


class UniformEnsemble(Ensemble):
    """Equal weights: `w[m, j] = 1 / m`, the geometric mean of the exits up to m. Nothing is fitted.

    >>> import torch
    >>> UniformEnsemble().weights(torch.zeros(2, 1, 3), torch.zeros(1, dtype=torch.long))
    ((1.0,), (0.5, 0.5))
    """

    is_fitted: ClassVar[bool] = False

    def weights(self, logits_EBC: Tensor, labels_B: Tensor) -> Weights:
        """Return equal weights for each exit."""
        _check(logits_EBC, labels_B)
        return tuple((1 / number,) * number for number in range(1, len(logits_EBC) + 1))


class LearntEnsemble(Ensemble):
    """Weights that minimise the negative log-likelihood of the labels, shrunk towards the exit alone (our reading).

    For each exit m and a strength s of the regulariser, with z_j the logits of exit j and weights v_j >= 0,

    `min_v  mean_b -log softmax(sum_{j <= m} v_j z_j)[label] + s * sum_{j < m} v_j^2 a_j`

    where a_j is the mean over samples of the variance of z_j over the classes. The problem is convex. The weight of
    exit m is not penalised, so the sum of the weights acts as a temperature and an earlier exit does not get a weight
    just because exit m is overconfident. The stored weights are v divided by its sum; the temperature is left to the
    calibration. The strength is selected by cross-validation on the same samples: the largest whose likelihood is
    within one standard error (of the paired difference) of the best; the largest is infinite, which is the exit alone.
    So few samples, or exits that add nothing, give the exit alone.

    Args:
        strengths: Finite strengths s to try, descending.
        folds: Number of folds of the cross-validation; sample i is in fold `i % folds`.

    Raises:
        UserError: There is no strength, one is not positive, they do not descend, or there are fewer than 2 folds.
    """

    def __init__(self, strengths: Sequence[float] = (0.1, 0.01, 0.001), folds: int = 5) -> None:
        descending = all(first > second for first, second in itertools.pairwise(strengths))
        if not strengths or not descending or not all(0 < strength < math.inf for strength in strengths):
            raise UserError(
                "positive strengths of LearntEnsemble that descend", f"{list(strengths)}", "Set strengths=[0.1,0.01]."
            )
        if folds < 2:
            raise UserError("at least 2 folds of LearntEnsemble", f"{folds}", "Set folds=5.")
        self.strengths, self.folds = tuple(strengths), folds

    def weights(self, logits_EBC: Tensor, labels_B: Tensor) -> Weights:
        """Return the fitted weights.

        Raises:
            UserError: A regression, fewer samples than folds, or logits that are not finite.
        """
        _check(logits_EBC, labels_B)
        if len(labels_B) < self.folds:
            raise UserError(
                f"at least {self.folds} samples to fit an ensemble of exits",
                f"{len(labels_B)}",
                "Validate on more samples, or use UniformEnsemble.",
            )
        if not logits_EBC.isfinite().all():
            raise UserError(
                "finite exit logits for an ensemble",
                "inf or NaN",
                "The training diverged: train again with a lower model.optimization.learning_rate.",
            )
        rows: list[tuple[float, ...]] = [(1.0,)]
        rows += [self._row(logits_EBC[:number], labels_B) for number in range(2, len(logits_EBC) + 1)]
        return tuple(rows)

    def _row(self, logits_EBC: Tensor, labels_B: Tensor) -> tuple[float, ...]:
        """Return the weights of the last of some exits."""
        alone = (0.0,) * (len(logits_EBC) - 1) + (1.0,)
        strength = self._strength(logits_EBC, labels_B)
        if strength == math.inf:
            return alone
        weights_E = fit_weights(logits_EBC, labels_B, strength)
        weights_E = torch.where(weights_E < _NEGLIGIBLE * weights_E.sum(), 0.0, weights_E)
        return tuple((weights_E / weights_E.sum()).tolist()) if weights_E.sum() > 0 else alone

    def _strength(self, logits_EBC: Tensor, labels_B: Tensor) -> float:
        """Return the largest strength whose cross-validated likelihood is within one standard error of the best."""
        strengths = (math.inf, *self.strengths)
        losses_SB = torch.empty(len(strengths), len(labels_B), dtype=torch.float64)
        fold_B = torch.arange(len(labels_B)) % self.folds
        for fold in range(self.folds):
            inside_B, outside_B = fold_B == fold, fold_B != fold
            inside, outside = logits_EBC[:, inside_B], logits_EBC[:, outside_B]
            for number, strength in enumerate(strengths):
                weights_E = fit_weights(outside, labels_B[outside_B], strength)
                losses_SB[number, inside_B] = _losses(inside, labels_B[inside_B], weights_E)
        best = int(losses_SB.mean(dim=1).argmin())
        worse_SB = losses_SB - losses_SB[best]
        error_S = worse_SB.std(dim=1) / math.sqrt(len(labels_B))
        return strengths[int((worse_SB.mean(dim=1) <= error_S).to(torch.uint8).argmax())]


def fit_weights(logits_EBC: Tensor, labels_B: Tensor, strength: float) -> Tensor:
    """Return the weights v (E,) of `LearntEnsemble` for the last exit, float64, not divided by their sum.

    Projected Newton steps with a backtracking line search (Bertsekas, SIAM J. Control Optim. 1982) in float64. The
    problem is convex and has one unknown per exit, so a few steps reach the minimum. torch has no optimiser with
    bounds, and squares or exponentials as weights have stationary points that are no minimum.

    Args:
        logits_EBC: Logits of the exits up to the one whose answer is fitted.
        labels_B: Classes.
        strength: Strength of the regulariser; infinity: the last exit alone, of which only the temperature is fitted.
    """
    if strength == math.inf:
        alone_E = torch.zeros(len(logits_EBC), dtype=torch.float64)
        alone_E[-1:] = fit_weights(logits_EBC[-1:], labels_B, 0.0)
        return alone_E
    spread_E = logits_EBC.double().var(dim=-1, correction=0).mean(dim=1)
    penalty_E = strength * spread_E
    penalty_E[-1] = 0.0
    weights_E = torch.zeros_like(spread_E)
    weights_E[-1] = 1 / spread_E[-1].sqrt().clamp(min=1e-6)
    current = _objective(logits_EBC, labels_B, weights_E, penalty_E)
    for _ in range(_STEPS):
        free_E = (weights_E > 0) | (current.gradient_E < 0)
        if not free_E.any() or current.gradient_E[free_E].abs().max() < _PRECISION * (1 + spread_E.max().sqrt()):
            break
        direction_E = torch.zeros_like(weights_E)
        curvature_EE = current.hessian_EE[free_E][:, free_E]
        ridge = 1e-10 * (1e-6 + curvature_EE.diagonal().max())
        curvature_EE = curvature_EE + ridge * torch.eye(len(curvature_EE), dtype=torch.float64)
        direction_E[free_E] = -torch.linalg.solve(curvature_EE, current.gradient_E[free_E])
        for halving in range(_HALVINGS):
            candidate_E = (weights_E + direction_E * 0.5**halving).clamp(0.0, _LARGEST)
            following = _objective(logits_EBC, labels_B, candidate_E, penalty_E)
            decrease = 1e-4 * float(current.gradient_E @ (candidate_E - weights_E))
            if following.value <= current.value + decrease:
                break
        else:
            break
        weights_E, current = candidate_E, following
    return weights_E


class _Objective(NamedTuple):
    """Value, gradient (E,) and Hessian (E, E) of the fit at some weights."""

    value: float
    gradient_E: Tensor
    hessian_EE: Tensor


def _objective(logits_EBC: Tensor, labels_B: Tensor, weights_E: Tensor, penalty_E: Tensor) -> _Objective:
    """Return the mean of `_losses` plus `sum_j penalty_j v_j^2`, with its derivatives."""
    value, gradient_E, hessian_EE = 0.0, torch.zeros_like(weights_E), torch.diag(torch.zeros_like(weights_E))
    for chunk_EBC, chunk_B in _chunks(logits_EBC, labels_B):
        wide_EBC = chunk_EBC.double()
        log_p_BC = torch.einsum("e,ebc->bc", weights_E, wide_EBC).log_softmax(dim=-1)
        value -= log_p_BC.gather(1, chunk_B[:, None]).sum().item()
        weighted_EBC = wide_EBC * log_p_BC.exp()
        means_EB = weighted_EBC.sum(dim=-1)
        labelled_EB = wide_EBC.gather(2, chunk_B.expand(len(wide_EBC), -1).unsqueeze(-1)).squeeze(-1)
        gradient_E += (means_EB - labelled_EB).sum(dim=1)
        hessian_EE += weighted_EBC.flatten(1) @ wide_EBC.flatten(1).T - means_EB @ means_EB.T
    rows = len(labels_B)
    value = value / rows + float((penalty_E * weights_E.square()).sum())
    return _Objective(value, gradient_E / rows + 2 * penalty_E * weights_E, hessian_EE / rows + 2 * penalty_E.diag())


def _losses(logits_EBC: Tensor, labels_B: Tensor, weights_E: Tensor) -> Tensor:
    """Return -log softmax(sum_j v_j z_j)[label] of each sample (B,), float64."""
    parts = [torch.zeros(0, dtype=torch.float64)]
    for chunk_EBC, chunk_B in _chunks(logits_EBC, labels_B):
        mean_BC = torch.einsum("e,ebc->bc", weights_E, chunk_EBC.double())
        parts.append(-mean_BC.log_softmax(dim=-1).gather(1, chunk_B[:, None])[:, 0])
    return torch.cat(parts)


def _chunks(logits_EBC: Tensor, labels_B: Tensor) -> Sequence[tuple[Tensor, Tensor]]:
    exits, _, classes = logits_EBC.shape
    rows = max(1, CHUNK // (exits * classes))
    return list(zip(torch.split(logits_EBC, rows, dim=1), torch.split(labels_B, rows), strict=True))


def _check(logits_EBC: Tensor, labels_B: Tensor) -> None:
    """Raise `UserError` unless the labels are classes and there are samples."""
    if logits_EBC.shape[-1] < 2:
        raise UserError("classes for an ensemble of exits", "a regression (1 output)", "Set exit_sweep.ensemble=null.")
    if not len(labels_B):
        raise UserError("samples to fit an ensemble of exits on", "none", "Validate on more samples.")


def measure_ensemble(report: ExitRecord, weights_EE: Weights, quality: Quality) -> tuple[EnsembleExit, ...]:
    """Return the weights of each exit, and its quality alone and in the ensemble.

    Args:
        report: The samples to measure on, those of the report split.
        weights_EE: Weights of the ensemble.
        quality: The primary metric.
    """
    answers_EBC = Ensembled(Static(), weights_EE).answers(report.logits_EBC)
    return tuple(
        EnsembleExit(
            layer=layer,
            weights=row,
            quality_alone=quality(predictions(alone_BC), report.labels_B),
            quality=quality(predictions(mean_BC), report.labels_B),
        )
        for layer, row, alone_BC, mean_BC in zip(
            report.costs.layers_E, weights_EE, report.logits_EBC, answers_EBC, strict=True
        )
    )
