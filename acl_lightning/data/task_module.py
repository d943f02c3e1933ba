"""Base of the data modules that a configuration may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningDataModule


class TaskDataModule(LightningDataModule):
    """Data module of a task, for the key `data_module` of a configuration.

    A subclass has the attributes `task_name`, `label_names` and `metrics` right after construction. The arguments of
    its constructor are the section `data`; `tokenizer` and `shuffle_seed` are linked to the backbone and to the seed of
    the run if it has them.
    """

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
