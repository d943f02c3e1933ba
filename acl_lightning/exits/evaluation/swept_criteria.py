"""Which criteria a sweep measures, for the task and the model at hand."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.calibrated import Calibrated
from acl_lightning.exits.criteria.learnt_gate import LearntGate
from acl_lightning.exits.criteria.registry import without_arguments
from acl_lightning.exits.criteria.static import Static
from acl_lightning.exits.criteria.temperature import fit_temperatures
from acl_lightning.exits.evaluation.record import ExitRecord


def every_criterion() -> list[Criterion]:
    """Return every criterion, with its default settings; static exits are part of any sweep."""
    return [kind() for kind in without_arguments() if kind is not Static]


def readable_criteria(
    criteria: Sequence[Criterion], record: ExitRecord, *, keep_gate: bool = False, calibrate: bool = False
) -> list[Criterion]:
    """Return the criteria that can read a record.

    Args:
        criteria: Criteria to choose from.
        record: Exit logits of a validation pass.
        keep_gate: Keep `LearntGate` although the model has no gate, so that the sweep refuses it.
        calibrate: Wrap each criterion in `Calibrated`, with temperatures fitted on the selection half.

    Raises:
        UserError: Calibration of a regression.
    """
    readable = [one for one in criteria if one.supports_regression or not record.is_regression]
    gated = record.gates_EB is not None or keep_gate
    readable = [one for one in readable if gated or one.name != LearntGate.name]
    if not calibrate:
        return readable
    selection = record.half(selection=True)
    temperatures_E = fit_temperatures(selection.logits_EBC, selection.labels_B)
    return [Calibrated(one, temperatures_E) for one in readable if one.name != Static.name]
