"""Readers and writers of the files of a run directory, one module per file or pair of files.

Readers raise `MissingFile` where a file does not exist, and `UserError` of one line where it is damaged. Nothing here
imports torch, except the functions of `exit_logits`.
"""

from acl_lightning.runs.records.config import read_config, write_config
from acl_lightning.runs.records.exit_logits import read_exit_logits, write_exit_logits
from acl_lightning.runs.records.gradients import (
    ALL_PARAMETERS,
    PER_LAYER,
    GradientComparison,
    comparisons_text,
    read_comparisons,
    write_comparisons,
)
from acl_lightning.runs.records.metrics_log import Logged, read_gradient_summary, read_metrics_log
from acl_lightning.runs.records.points import add_points, read_points
from acl_lightning.runs.records.reading import MissingFile
from acl_lightning.runs.records.representation import RepresentationRecord, read_representation, write_representation
from acl_lightning.runs.records.result import RunResult, Status, read_result, run_status, write_result
from acl_lightning.runs.records.sweep import SweepRow, read_sweep, write_sweep

__all__ = [
    "ALL_PARAMETERS",
    "PER_LAYER",
    "GradientComparison",
    "Logged",
    "MissingFile",
    "RepresentationRecord",
    "RunResult",
    "Status",
    "SweepRow",
    "add_points",
    "comparisons_text",
    "read_comparisons",
    "read_config",
    "read_exit_logits",
    "read_gradient_summary",
    "read_metrics_log",
    "read_points",
    "read_representation",
    "read_result",
    "read_sweep",
    "run_status",
    "write_comparisons",
    "write_config",
    "write_exit_logits",
    "write_representation",
    "write_result",
    "write_sweep",
]
