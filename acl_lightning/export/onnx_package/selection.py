"""Selection of operating points on the logits of a package, with the criteria and budgets of its run."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from acl_lightning.exits import (
    Budget,
    Criterion,
    Ensemble,
    Ensembled,
    ExitRecord,
    LearntEnsemble,
    MaxDrop,
    MinSpeedup,
    SweepReport,
    UniformEnsemble,
    criterion_class,
    evaluate,
)
from acl_lightning.exits.criteria.calibrated import Calibrated
from acl_lightning.serving.criteria import BUILT_IN


def swept(record: ExitRecord, result: SweepReport) -> SweepReport:
    """Return the sweep of a run's criteria over the logits of a package, with a point for every budget of the run.

    Budgets with a confidence are selected without temperatures and learnt weights, as by the command `points`: their
    guarantee needs selection rows on which nothing is fitted.

    Args:
        record: Record with the logits of the package.
        result: Sweep of the run; its points name the budgets.
    """
    budgets = [budget for name in result.recommended if (budget := budget_named(name)) is not None]
    ensemble = ensemble_of(result)
    fits = result.calibrated or isinstance(ensemble, LearntEnsemble)
    separate = [budget for budget in budgets if fits and budget.confidence is not None]
    report = evaluate(
        record,
        swept_criteria(result),
        [budget for budget in budgets if budget not in separate],
        result.metric_names,
        calibrate=result.calibrated,
        ensemble=ensemble,
        label_names=result.label_names,
    )
    if not separate:
        return report
    plain = evaluate(record, swept_criteria(result), separate, result.metric_names, label_names=result.label_names)
    return replace(report, recommended={**report.recommended, **plain.recommended})


def swept_criteria(result: SweepReport) -> list[Criterion]:
    """Return the criteria of a run's sweep, with default settings, that have an ONNX form."""
    prefixes = (f"{Ensembled.name}_", f"{Calibrated.name}_")
    names = [name.removeprefix(prefixes[0]).removeprefix(prefixes[1]) for name in result.area_under_curve]
    return [criterion_class(name)() for name in names if name in BUILT_IN]


def ensemble_of(result: SweepReport) -> Ensemble | None:
    """Return the rule by which a run's ensemble of exits is fitted anew; None for a run without an ensemble."""
    if result.ensemble is None:
        return None
    uniform = all(math.isclose(weight, 1 / len(exit_.weights)) for exit_ in result.ensemble for weight in exit_.weights)
    return UniformEnsemble() if uniform else LearntEnsemble()


def budget_named(name: str) -> Budget | None:
    """Return the budget that the name of an operating point stands for; None for any other name.

    >>> budget_named("drop0.5").text
    'drop of at most 0.5 points'
    """
    match = re.fullmatch(r"(drop|speed|flops)(\d+(?:\.\d+)?)(?:_(\d+(?:\.\d+)?))?", name)
    if match is None or (match[3] is not None and match[1] != "drop"):
        return None
    kind, number = match[1], float(match[2])
    if kind == "drop":
        return MaxDrop(number, confidence=None if match[3] is None else float(match[3]) / 100)
    return MinSpeedup(number, "flops_speedup" if kind == "flops" else "layer_speedup")
