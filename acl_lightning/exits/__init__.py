"""Exit criteria, the sweep over their thresholds, operating points, and the evaluation of exits.

Everything here reads exit logits `[E, B, C]`, in plain torch: one forward pass over a validation set serves every
criterion and every threshold. A sample leaves at the first exit whose certainty reaches the threshold (`Criterion`).
`acl_lightning.exits.inference` applies this rule to a running encoder.

Names are imported when they are first used, so that the records of a `SweepReport` can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acl_lightning.exits.criteria.base import Criterion, exit_index
    from acl_lightning.exits.criteria.calibrated import Calibrated, temperatures_of
    from acl_lightning.exits.criteria.confidence import Confidence
    from acl_lightning.exits.criteria.consecutive.fpabee import FPABEE
    from acl_lightning.exits.criteria.consecutive.patience import Patience
    from acl_lightning.exits.criteria.consecutive.pcee import PCEE
    from acl_lightning.exits.criteria.ensembled import Ensembled
    from acl_lightning.exits.criteria.entropy import Entropy
    from acl_lightning.exits.criteria.learnt_gate import LearntGate
    from acl_lightning.exits.criteria.margin import Margin
    from acl_lightning.exits.criteria.prototype_margin import PrototypeMargin
    from acl_lightning.exits.criteria.registry import (
        criterion_class,
        criterion_names,
        default_criteria,
        from_config,
        named_criterion,
        readable_criteria,
        register,
        to_config,
    )
    from acl_lightning.exits.criteria.static import Static
    from acl_lightning.exits.evaluation.budgets import (
        Budget,
        MaxDrop,
        MaxLatency,
        MinMeasuredSpeedup,
        MinSpeedup,
        certified,
        drop_p_value,
    )
    from acl_lightning.exits.evaluation.budgets.latency_table import LatencyTable
    from acl_lightning.exits.evaluation.calibration import (
        calibration_error,
        exit_probabilities,
        fit_temperatures,
        negative_log_likelihood,
        reliability,
        stored_temperatures,
    )
    from acl_lightning.exits.evaluation.curve import (
        OraclePoint,
        area_under_curve,
        as_curve,
        elue_score,
        figure_points,
        oracle_curve,
        oracle_exits,
        pareto_front,
    )
    from acl_lightning.exits.evaluation.ensembles import Ensemble, LearntEnsemble, UniformEnsemble
    from acl_lightning.exits.evaluation.evaluate import evaluate
    from acl_lightning.exits.evaluation.groups import exit_histogram, mean_layer_by_grade, spearman
    from acl_lightning.exits.evaluation.intervals.baseline import constant_baseline, lead_intervals
    from acl_lightning.exits.evaluation.intervals.bootstrap import Resampled, band, bootstrap
    from acl_lightning.exits.evaluation.operating_point import CurvePoint, OperatingPoint, full_depth
    from acl_lightning.exits.evaluation.record import ExitCosts, ExitRecord
    from acl_lightning.exits.evaluation.report import (
        Baseline,
        Bin,
        CrossFitted,
        Difficulty,
        EnsembleExit,
        ExitCalibration,
        ExitQuality,
        Interval,
        PointIntervals,
        RecommendedPoint,
        SplitSizes,
        SweepReport,
    )
    from acl_lightning.exits.evaluation.selection import cross_fit, drop_name, recommend
    from acl_lightning.exits.evaluation.sweep import check_grids, sweep

__all__ = [
    "FPABEE",
    "PCEE",
    "Baseline",
    "Bin",
    "Budget",
    "Calibrated",
    "Confidence",
    "Criterion",
    "CrossFitted",
    "CurvePoint",
    "Difficulty",
    "Ensemble",
    "EnsembleExit",
    "Ensembled",
    "Entropy",
    "ExitCalibration",
    "ExitCosts",
    "ExitQuality",
    "ExitRecord",
    "Interval",
    "LatencyTable",
    "LearntEnsemble",
    "LearntGate",
    "Margin",
    "MaxDrop",
    "MaxLatency",
    "MinMeasuredSpeedup",
    "MinSpeedup",
    "OperatingPoint",
    "OraclePoint",
    "Patience",
    "PointIntervals",
    "PrototypeMargin",
    "RecommendedPoint",
    "Resampled",
    "SplitSizes",
    "Static",
    "SweepReport",
    "UniformEnsemble",
    "area_under_curve",
    "as_curve",
    "band",
    "bootstrap",
    "calibration_error",
    "certified",
    "check_grids",
    "constant_baseline",
    "criterion_class",
    "criterion_names",
    "cross_fit",
    "default_criteria",
    "drop_name",
    "drop_p_value",
    "elue_score",
    "evaluate",
    "exit_histogram",
    "exit_index",
    "exit_probabilities",
    "figure_points",
    "fit_temperatures",
    "from_config",
    "full_depth",
    "lead_intervals",
    "mean_layer_by_grade",
    "named_criterion",
    "negative_log_likelihood",
    "oracle_curve",
    "oracle_exits",
    "pareto_front",
    "readable_criteria",
    "recommend",
    "register",
    "reliability",
    "spearman",
    "stored_temperatures",
    "sweep",
    "temperatures_of",
    "to_config",
]

#: Module of each public name.
_MODULES = {
    "FPABEE": "criteria.consecutive.fpabee",
    "PCEE": "criteria.consecutive.pcee",
    "Baseline": "evaluation.report",
    "Bin": "evaluation.report",
    "Budget": "evaluation.budgets",
    "Calibrated": "criteria.calibrated",
    "Confidence": "criteria.confidence",
    "Criterion": "criteria.base",
    "CrossFitted": "evaluation.report",
    "CurvePoint": "evaluation.operating_point",
    "Difficulty": "evaluation.report",
    "Ensemble": "evaluation.ensembles",
    "EnsembleExit": "evaluation.report",
    "Ensembled": "criteria.ensembled",
    "Entropy": "criteria.entropy",
    "ExitCalibration": "evaluation.report",
    "ExitCosts": "evaluation.record",
    "ExitQuality": "evaluation.report",
    "ExitRecord": "evaluation.record",
    "Interval": "evaluation.report",
    "LatencyTable": "evaluation.budgets.latency_table",
    "LearntEnsemble": "evaluation.ensembles",
    "LearntGate": "criteria.learnt_gate",
    "Margin": "criteria.margin",
    "MaxDrop": "evaluation.budgets",
    "MaxLatency": "evaluation.budgets",
    "MinMeasuredSpeedup": "evaluation.budgets",
    "MinSpeedup": "evaluation.budgets",
    "OperatingPoint": "evaluation.operating_point",
    "OraclePoint": "evaluation.curve",
    "Patience": "criteria.consecutive.patience",
    "PointIntervals": "evaluation.report",
    "PrototypeMargin": "criteria.prototype_margin",
    "RecommendedPoint": "evaluation.report",
    "Resampled": "evaluation.intervals.bootstrap",
    "SplitSizes": "evaluation.report",
    "Static": "criteria.static",
    "SweepReport": "evaluation.report",
    "UniformEnsemble": "evaluation.ensembles",
    "area_under_curve": "evaluation.curve",
    "as_curve": "evaluation.curve",
    "band": "evaluation.intervals.bootstrap",
    "bootstrap": "evaluation.intervals.bootstrap",
    "calibration_error": "evaluation.calibration",
    "certified": "evaluation.budgets",
    "check_grids": "evaluation.sweep",
    "constant_baseline": "evaluation.intervals.baseline",
    "criterion_class": "criteria.registry",
    "criterion_names": "criteria.registry",
    "cross_fit": "evaluation.selection",
    "default_criteria": "criteria.registry",
    "drop_name": "evaluation.selection",
    "drop_p_value": "evaluation.budgets",
    "elue_score": "evaluation.curve",
    "evaluate": "evaluation.evaluate",
    "exit_histogram": "evaluation.groups",
    "exit_index": "criteria.base",
    "exit_probabilities": "evaluation.calibration",
    "figure_points": "evaluation.curve",
    "fit_temperatures": "evaluation.calibration",
    "from_config": "criteria.registry",
    "full_depth": "evaluation.operating_point",
    "lead_intervals": "evaluation.intervals.baseline",
    "mean_layer_by_grade": "evaluation.groups",
    "named_criterion": "criteria.registry",
    "negative_log_likelihood": "evaluation.calibration",
    "oracle_curve": "evaluation.curve",
    "oracle_exits": "evaluation.curve",
    "pareto_front": "evaluation.curve",
    "readable_criteria": "criteria.registry",
    "recommend": "evaluation.selection",
    "register": "criteria.registry",
    "reliability": "evaluation.calibration",
    "spearman": "evaluation.groups",
    "stored_temperatures": "evaluation.calibration",
    "sweep": "evaluation.sweep",
    "temperatures_of": "criteria.calibrated",
    "to_config": "criteria.registry",
}

if not TYPE_CHECKING:  # a type checker resolves the imports above, and reports names that do not exist

    def __getattr__(name: str) -> object:
        """Import a public name from its module."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted({*globals(), *__all__})
