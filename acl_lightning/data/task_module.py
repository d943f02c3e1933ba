"""Base of the data modules that a configuration may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningDataModule


class TaskDataModule(LightningDataModule):
    """Data module of a task, for the key `data_module` of a configuration.

    The arguments of the constructor are the section `data`; `tokenizer` and `shuffle_seed` are linked to the backbone
    and to the seed of the run if it has them.

    Attributes:
        task_name: Name of the task; a subclass sets all three attributes right in its constructor.
        label_names: Names of the classes in the order of their indices; empty for a regression.
        metrics: Names of metrics, the primary metric first.
    """

    task_name: str
    label_names: list[str]
    metrics: list[str]

    @classmethod
    def run_name(cls, settings: Mapping[str, Any]) -> str:
        """Return the name of the task that settings of the section `data` describe, for the run directory."""
        return str(settings.get("name") or cls.__name__)

    @classmethod
    def completed(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings that follow from the data and that a run stores in its configuration.

        Commands that read the run then need no training data.
        """
        return {}
