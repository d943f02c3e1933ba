"""Report of an exit sweep as typed records, and its JSON form in `result.json`. Nothing here imports torch."""

from acl_lightning.exits.evaluation.report.parts import (
    Baseline,
    Bin,
    CrossFitted,
    Difficulty,
    EnsembleExit,
    ExitCalibration,
    ExitQuality,
    SplitSizes,
)
from acl_lightning.exits.evaluation.report.recommended_point import (
    Interval,
    PointIntervals,
    RecommendedPoint,
    point_from_json,
    point_to_json,
)
from acl_lightning.exits.evaluation.report.sweep_report import SweepReport

__all__ = [
    "Baseline",
    "Bin",
    "CrossFitted",
    "Difficulty",
    "EnsembleExit",
    "ExitCalibration",
    "ExitQuality",
    "Interval",
    "PointIntervals",
    "RecommendedPoint",
    "SplitSizes",
    "SweepReport",
    "point_from_json",
    "point_to_json",
]
