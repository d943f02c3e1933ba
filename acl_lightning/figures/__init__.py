"""Matplotlib figures of plain numbers. The functions write no files, use no loggers and need no display."""

from acl_lightning.figures.confusion import confusion_figure
from acl_lightning.figures.embedding_map import EmbeddingMap, embedding_map_figure
from acl_lightning.figures.exit_histogram import exit_histogram_figure
from acl_lightning.figures.gradient_angles import AnglePanel, gradient_angles_figure
from acl_lightning.figures.measured_speed import measured_speed_figure
from acl_lightning.figures.per_exit import per_exit_figure
from acl_lightning.figures.reliability import reliability_figure
from acl_lightning.figures.runtimes import runtimes_figure
from acl_lightning.figures.speed_quality import speed_quality_figure
from acl_lightning.figures.training import training_figure

__all__ = [
    "AnglePanel",
    "EmbeddingMap",
    "confusion_figure",
    "embedding_map_figure",
    "exit_histogram_figure",
    "gradient_angles_figure",
    "measured_speed_figure",
    "per_exit_figure",
    "reliability_figure",
    "runtimes_figure",
    "speed_quality_figure",
    "training_figure",
]
