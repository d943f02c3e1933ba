"""Criteria of a sweep with what is fitted for them: temperatures and ensemble weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.calibrated import Calibrated
from acl_lightning.exits.criteria.ensembled import Ensembled
from acl_lightning.exits.criteria.registry import default_criteria, readable_criteria
from acl_lightning.exits.criteria.static import Static
from acl_lightning.exits.evaluation.budgets import Budget
from acl_lightning.exits.evaluation.calibration import fit_temperatures
from acl_lightning.exits.evaluation.ensembles import Ensemble, measure_ensemble
from acl_lightning.exits.evaluation.operating_point import OperatingPoint
from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.report import EnsembleExit
from acl_lightning.exits.evaluation.sweep import sweep
from acl_lightning.metrics import quality


def check_unfitted(budget: Budget, *, calibrate: bool, ensemble: Ensemble | None) -> None:
    """Raise `UserError` if a budget has a confidence and something is fitted on the selection split.

    Args:
        budget: The budget.
        calibrate: Whether temperatures are fitted.
        ensemble: Rule for the weights of an ensemble.
    """
    fits_weights = ensemble is not None and ensemble.is_fitted
    fits = ["temperatures"] * calibrate + ["ensemble weights"] * fits_weights
    if budget.confidence is not None and fits:
        raise UserError(
            f"selection rows on which nothing is fitted, for {budget.name}",
            f"{' and '.join(fits)} fitted on them",
            "Leave the confidence out, or set calibrate=false and the ensemble to null or UniformEnsemble.",
        )


def swept_criteria(
    record: ExitRecord, criteria: Sequence[Criterion] | None, *, calibrate: bool, ensemble: Ensemble | None
) -> list[Criterion]:
    """Return the criteria to sweep, calibrated and on an ensemble where asked for.

    Args:
        record: Exit logits; its selection split fits temperatures and weights.
        criteria: Criteria of the caller, kept where the record has no gate or no cosines, so that the sweep refuses
            them. None: all criteria that can read the record.
        calibrate: Whether to fit temperatures.
        ensemble: Rule for the weights of an ensemble; None: every exit answers alone.
    """
    has_gate, has_cosines = (part is not None or criteria is not None for part in (record.gates_EB, record.cosines_EBC))
    candidates = default_criteria() if criteria is None else criteria
    readable = readable_criteria(
        candidates, is_regression=record.is_regression, has_gate=has_gate, has_cosines=has_cosines
    )
    if not calibrate and ensemble is None:
        return readable
    criteria = [criterion for criterion in readable if criterion.name != Static.name]
    selection = record.split(selection=True)
    logits_EBC, weights_EE = selection.logits_EBC, None
    if ensemble is not None:
        weights_EE = ensemble.weights(logits_EBC, selection.labels_B)
        logits_EBC = Ensembled(Static(), weights_EE).answers(logits_EBC)
    if calibrate:
        temperatures_E = fit_temperatures(logits_EBC, selection.labels_B)
        criteria = [Calibrated(criterion, temperatures_E) for criterion in criteria]
    return criteria if weights_EE is None else [Ensembled(criterion, weights_EE) for criterion in criteria]


def sweep_record(
    record: ExitRecord,
    criteria: Sequence[Criterion],
    metric: str,
    thresholds: Mapping[str, Sequence[float]],
) -> list[OperatingPoint]:
    """Sweep criteria over a record.

    Args:
        record: Exit logits.
        criteria: What `swept_criteria` returned.
        metric: Name of the primary metric.
        thresholds: Grids by the name of a criterion without calibration and ensemble. Others are ignored.
    """
    return sweep(
        record.logits_EBC,
        record.labels_B,
        criteria,
        quality=partial(quality, metric),
        selection_B=record.selection_B,
        costs=record.costs,
        gates_EB=record.gates_EB,
        cosines_EBC=record.cosines_EBC,
        thresholds={
            criterion.name: thresholds[inner]
            for criterion in criteria
            if (inner := _inner_name(criterion)) in thresholds
        },
    )


def _inner_name(criterion: Criterion) -> str:
    """Return the name of a criterion without calibration and ensemble."""
    while isinstance(criterion, Calibrated | Ensembled):
        criterion = criterion.criterion
    return criterion.name


def measured_ensemble(record: ExitRecord, ensemble: Ensemble, metric: str) -> tuple[EnsembleExit, ...]:
    """Return weights and quality of an ensemble that is fitted on the selection split."""
    selection = record.split(selection=True)
    weights_EE = ensemble.weights(selection.logits_EBC, selection.labels_B)
    return measure_ensemble(record.split(selection=False), weights_EE, partial(quality, metric))
