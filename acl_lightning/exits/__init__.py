"""When to stop computing: exit criteria, the sweep over their thresholds, and the choice of operating points.

Everything here reads exit logits `[E, B, C]` and nothing else, in plain torch: one forward pass over a validation set
serves every criterion and every threshold. The one rule is `Criterion`'s: leave at the first exit whose certainty
reaches the threshold. Carrying it out on a running encoder is `acl_lightning.exits.inference`.
"""

from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.calibrated import Calibrated, temperatures_of
from acl_lightning.exits.criteria.confidence import Confidence
from acl_lightning.exits.criteria.entropy import Entropy
from acl_lightning.exits.criteria.fpabee import FPABEE
from acl_lightning.exits.criteria.learnt_gate import LearntGate
from acl_lightning.exits.criteria.margin import Margin
from acl_lightning.exits.criteria.patience import Patience
from acl_lightning.exits.criteria.pcee import PCEE
from acl_lightning.exits.criteria.recipe import from_recipe, recipe
from acl_lightning.exits.criteria.registry import (
    criterion_class,
    criterion_names,
    from_config,
    register,
    to_config,
    without_arguments,
)
from acl_lightning.exits.criteria.static import Static
from acl_lightning.exits.criteria.temperature import (
    exit_probabilities,
    fit_temperatures,
    negative_log_likelihood,
    stored_temperatures,
)
from acl_lightning.exits.evaluation.baseline import Baseline, constant_baseline, lead_intervals
from acl_lightning.exits.evaluation.bootstrap import Interval, PointIntervals, Resampled, band, bootstrap
from acl_lightning.exits.evaluation.budgets import (
    Budget,
    MaxDrop,
    MaxLatency,
    MinMeasuredSpeedup,
    MinSpeedup,
    full_depth,
)
from acl_lightning.exits.evaluation.costs import ExitCosts
from acl_lightning.exits.evaluation.curve import area_under_curve, as_curve, figure_points, pareto_front
from acl_lightning.exits.evaluation.description import describe, describe_recommended
from acl_lightning.exits.evaluation.difficulty import mean_layer_by_grade, spearman
from acl_lightning.exits.evaluation.elue import elue_score
from acl_lightning.exits.evaluation.histogram import exit_histogram
from acl_lightning.exits.evaluation.latency_table import LatencyTable
from acl_lightning.exits.evaluation.operating_point import OperatingPoint
from acl_lightning.exits.evaluation.oracle import OraclePoint, oracle_curve, oracle_exits
from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.reliability import Bin, calibration_error, reliability
from acl_lightning.exits.evaluation.selection import CrossFitted, cross_fit, drop_name, recommend
from acl_lightning.exits.evaluation.sweep import check_grids, exit_index, sweep, variant_of

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
    "Entropy",
    "ExitCosts",
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
    "Resampled",
    "Static",
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
    "describe",
    "describe_recommended",
    "drop_name",
    "elue_score",
    "exit_histogram",
    "exit_index",
    "exit_probabilities",
    "figure_points",
    "fit_temperatures",
    "from_config",
    "from_recipe",
    "full_depth",
    "lead_intervals",
    "mean_layer_by_grade",
    "negative_log_likelihood",
    "oracle_curve",
    "oracle_exits",
    "pareto_front",
    "recipe",
    "recommend",
    "register",
    "reliability",
    "spearman",
    "stored_temperatures",
    "sweep",
    "temperatures_of",
    "to_config",
    "variant_of",
    "without_arguments",
]
