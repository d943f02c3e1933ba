"""Scoring of files with an adaptive ONNX package, and comparison of its inputs with the validation data.

Nothing here imports torch.
"""

from acl_lightning.scoring.drift import DriftTest, confidence_drift, exit_drift, stability_index
from acl_lightning.scoring.report import DriftReport, drift_report
from acl_lightning.scoring.score_file import ScoreFile
from acl_lightning.scoring.source import SourceFormat, open_source
from acl_lightning.scoring.table_scoring import SampleColumns, score
from acl_lightning.scoring.tally import Tally

__all__ = [
    "DriftReport",
    "DriftTest",
    "SampleColumns",
    "ScoreFile",
    "SourceFormat",
    "Tally",
    "confidence_drift",
    "drift_report",
    "exit_drift",
    "open_source",
    "score",
    "stability_index",
]
