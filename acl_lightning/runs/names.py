"""Names of the files and folders of a run directory."""

from __future__ import annotations

import re

#: Version of the format of `result.json` and `points.json`. Files without a version are those of version 0.1.
SCHEMA_VERSION = 1

#: Resolved configuration of `fit`. Another command writes `COMMAND.yaml`.
CONFIG = "config.yaml"

#: Result of the last validation, or the error that ended the run.
RESULT = "result.json"

#: Earlier results, which are kept when a run is resumed or validated again.
RESULT_BEFORE_RESUMING = "result-before-resuming.json"
RESULT_BEFORE_VALIDATING = "result-before-validating.json"

#: Operating points that `points` selected after the validation.
POINTS = "points.json"

#: Logits of every exit for the samples of the validation set; see `acl_lightning.exits.ExitRecord`.
EXIT_LOGITS = "exit_logits.npz"

#: Quality and speed at every threshold of every criterion.
EXIT_SWEEP = "exit_sweep.csv"

#: Figures of the exit sweep, without suffix: each is a PNG file; the first also an SVG file.
SPEED_QUALITY = "speed_quality"
PER_EXIT = "per_exit"
EXIT_HISTOGRAM = "exit_histogram"
RELIABILITY = "reliability"

#: Comparisons of gradients by `GradientProbe`, and their figure.
GRADIENTS = "gradient_probe.csv"
GRADIENT_FIGURE = "gradient_angles.png"

#: Name of `GRADIENTS` in runs of version 0.1.
EARLIER_GRADIENTS = "gradient_watch.csv"

#: Measures of the embeddings of every exit, the embeddings, and their figure.
REPRESENTATION = "representation.csv"
EMBEDDINGS = "embeddings.npz"
EMBEDDING_FIGURE = "embeddings.png"

#: Quality of every class and confusion matrix at every exit, by `ClassReport`, and their figure.
CLASS_REPORT = "class_report.csv"
CONFUSION = "confusion.csv"
CONFUSION_FIGURE = "confusion.png"

#: Curves of losses, learning rates and quality during training.
TRAINING_FIGURE = "training.png"

#: Predictions of `predict`.
PREDICTIONS = "predictions.jsonl"

#: Times that `latency` measured: of each operating point, their figure, and of each exit.
LATENCY = "latency.csv"
LATENCY_FIGURE = "latency.png"
EXIT_LATENCY = "exit_latency.csv"

#: Values that the CSV logger wrote; a resumed run has a folder for each part: `logs`, `logs-1`, `logs-2`, ...
LOGS = "logs"
METRICS_LOG = "metrics.csv"

#: Folder of the checkpoints, the best checkpoint on the selection split, and the last checkpoint.
CHECKPOINTS = "checkpoints"
BEST_CHECKPOINT = "best.ckpt"
LAST_CHECKPOINT = "last.ckpt"

#: Lock of the command that writes to the directory.
LOCK = ".lock"


def config_name(command: str) -> str:
    """Return the name of the file with the configuration of a command."""
    return CONFIG if command == "fit" else f"{command}.yaml"


def requeue_checkpoint(number: int) -> str:
    """Return the name of the checkpoint of the n-th requeue of a SLURM job, in the run directory itself."""
    return f"hpc_ckpt_{number}.ckpt"


def requeue_number(name: str) -> int | None:
    """Return n where `name` is `requeue_checkpoint(n)`; None for other names."""
    match = re.fullmatch(r"hpc_ckpt_(\d+)\.ckpt", name)
    return None if match is None else int(match[1])
