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
    from acl_lightning.exits.criteria.entropy import Entropy
    from acl_lightning.exits.criteria.fpabee import FPABEE
    from acl_lightning.exits.criteria.learnt_gate import LearntGate
    from acl_lightning.exits.criteria.margin import Margin
    from acl_lightning.exits.criteria.patience import Patience
    from acl_lightning.exits.criteria.pcee import PCEE
    from acl_lightning.exits.criteria.registry import (
        criterion_class,
        criterion_names,
        default_criteria,
        from_config,
        readable_criteria,
        register,
        to_config,
    )
    from acl_lightning.exits.criteria.static import Static
    from acl_lightning.exits.evaluation.baseline import constant_baseline, lead_intervals
    from acl_lightning.exits.evaluation.bootstrap import Resampled, band, bootstrap
    from acl_lightning.exits.evaluation.budgets import (
        Budget,
        MaxDrop,
        MaxLatency,
        MinMeasuredSpeedup,
        MinSpeedup,
        full_depth,
    )
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
    from acl_lightning.exits.evaluation.evaluate import evaluate
    from acl_lightning.exits.evaluation.groups import exit_histogram, mean_layer_by_grade, spearman
    from acl_lightning.exits.evaluation.latency_table import LatencyTable
    from acl_lightning.exits.evaluation.operating_point import CurvePoint, OperatingPoint
    from acl_lightning.exits.evaluation.record import ExitCosts, ExitRecord
    from acl_lightning.exits.evaluation.report import (
        Baseline,
        Bin,
        CrossFitted,
        Difficulty,
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
    "Entropy",
    "ExitCalibration",
    "ExitCosts",
    "ExitQuality",
    "ExitRecord",
    "Interval",
    "LatencyTable",
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
    "RecommendedPoint",
    "Resampled",
    "SplitSizes",
    "Static",
    "SweepReport",
    "area_under_curve",
    "as_curve",
    "band",
    "bootstrap",
    "calibration_error",
    "check_grids",
    "constant_baseline",
    "criterion_class",
    "criterion_names",
    "cross_fit",
    "default_criteria",
    "drop_name",
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
    "FPABEE": "criteria.fpabee",
    "PCEE": "criteria.pcee",
    "Baseline": "evaluation.report",
    "Bin": "evaluation.report",
    "Budget": "evaluation.budgets",
    "Calibrated": "criteria.calibrated",
    "Confidence": "criteria.confidence",
    "Criterion": "criteria.base",
    "CrossFitted": "evaluation.report",
    "CurvePoint": "evaluation.operating_point",
    "Difficulty": "evaluation.report",
    "Entropy": "criteria.entropy",
    "ExitCalibration": "evaluation.report",
    "ExitCosts": "evaluation.record",
    "ExitQuality": "evaluation.report",
    "ExitRecord": "evaluation.record",
    "Interval": "evaluation.report",
    "LatencyTable": "evaluation.latency_table",
    "LearntGate": "criteria.learnt_gate",
    "Margin": "criteria.margin",
    "MaxDrop": "evaluation.budgets",
    "MaxLatency": "evaluation.budgets",
    "MinMeasuredSpeedup": "evaluation.budgets",
    "MinSpeedup": "evaluation.budgets",
    "OperatingPoint": "evaluation.operating_point",
    "OraclePoint": "evaluation.curve",
    "Patience": "criteria.patience",
    "PointIntervals": "evaluation.report",
    "RecommendedPoint": "evaluation.report",
    "Resampled": "evaluation.bootstrap",
    "SplitSizes": "evaluation.report",
    "Static": "criteria.static",
    "SweepReport": "evaluation.report",
    "area_under_curve": "evaluation.curve",
    "as_curve": "evaluation.curve",
    "band": "evaluation.bootstrap",
    "bootstrap": "evaluation.bootstrap",
    "calibration_error": "evaluation.calibration",
    "check_grids": "evaluation.sweep",
    "constant_baseline": "evaluation.baseline",
    "criterion_class": "criteria.registry",
    "criterion_names": "criteria.registry",
    "cross_fit": "evaluation.selection",
    "default_criteria": "criteria.registry",
    "drop_name": "evaluation.selection",
    "elue_score": "evaluation.curve",
    "evaluate": "evaluation.evaluate",
    "exit_histogram": "evaluation.groups",
    "exit_index": "criteria.base",
    "exit_probabilities": "evaluation.calibration",
    "figure_points": "evaluation.curve",
    "fit_temperatures": "evaluation.calibration",
    "from_config": "criteria.registry",
    "full_depth": "evaluation.budgets",
    "lead_intervals": "evaluation.baseline",
    "mean_layer_by_grade": "evaluation.groups",
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
