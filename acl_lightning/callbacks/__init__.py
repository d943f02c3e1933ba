"""What watches a run and writes about it: sweep, telemetry, results, predictions, random state."""

from acl_lightning.callbacks.adaptive_prediction import AdaptivePrediction
from acl_lightning.callbacks.checkpoint_files import AtomicCheckpointIO, CheckpointPaths
from acl_lightning.callbacks.common_end import CommonEnd
from acl_lightning.callbacks.config_writer import ConfigWriter
from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.callbacks.gradient_monitor import GradientMonitor
from acl_lightning.callbacks.gradient_probe import GradientProbe
from acl_lightning.callbacks.last_checkpoint import LastCheckpoint
from acl_lightning.callbacks.progress_bar import ProgressBar
from acl_lightning.callbacks.representation import RepresentationDiagnostics
from acl_lightning.callbacks.result_writer import ResultWriter
from acl_lightning.callbacks.rng_state import RNGState
from acl_lightning.callbacks.slurm_requeue import SlurmRequeue
from acl_lightning.callbacks.summary_table import SummaryTable
from acl_lightning.callbacks.training_curves import TrainingCurves
from acl_lightning.callbacks.validation_halves import ValidationHalves

__all__ = [
    "AdaptivePrediction",
    "AtomicCheckpointIO",
    "CheckpointPaths",
    "CommonEnd",
    "ConfigWriter",
    "ExitSweep",
    "GradientMonitor",
    "GradientProbe",
    "LastCheckpoint",
    "ProgressBar",
    "RNGState",
    "RepresentationDiagnostics",
    "ResultWriter",
    "SlurmRequeue",
    "SummaryTable",
    "TrainingCurves",
    "ValidationHalves",
]
