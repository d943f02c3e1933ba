"""Lightning callbacks: exit sweep, gradient and representation diagnostics, results, predictions, checkpoints."""

from acl_lightning.callbacks.checkpoints.checkpoint_files import AtomicCheckpointIO, CheckpointPaths
from acl_lightning.callbacks.checkpoints.last_checkpoint import LastCheckpoint
from acl_lightning.callbacks.checkpoints.rng_state import RNGState
from acl_lightning.callbacks.checkpoints.slurm_requeue import SlurmRequeue
from acl_lightning.callbacks.class_report import ClassReport
from acl_lightning.callbacks.common_end import CommonEnd
from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.callbacks.gradient_monitor import GradientMonitor
from acl_lightning.callbacks.gradient_probe import GradientProbe
from acl_lightning.callbacks.prediction.adaptive_prediction import AdaptivePrediction
from acl_lightning.callbacks.progress_bar import ProgressBar
from acl_lightning.callbacks.representation import RepresentationDiagnostics
from acl_lightning.callbacks.run_files.config_writer import ConfigWriter
from acl_lightning.callbacks.run_files.result_writer import ResultWriter
from acl_lightning.callbacks.run_files.training_curves import TrainingCurves
from acl_lightning.callbacks.summary_table import SummaryTable
from acl_lightning.callbacks.validation_split import ValidationSplitCheck

__all__ = [
    "AdaptivePrediction",
    "AtomicCheckpointIO",
    "CheckpointPaths",
    "ClassReport",
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
    "ValidationSplitCheck",
]
