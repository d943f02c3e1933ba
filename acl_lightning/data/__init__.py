"""GLUE, from the hub, from the official files or from a grammar, as batches that are the same on any number of devices.

Start at `GLUEDataModule`; `TASKS` is the table of the nine tasks, `generate_split` the synthetic data with known
difficulty, `ResumableLoader` and its samplers the exact order of the batches.
"""

from acl_lightning.data.batching import EpochSampler, ResumableLoader, ShardedBatchSampler
from acl_lightning.data.datamodule import GLUEDataModule
from acl_lightning.data.glue_files import read_split
from acl_lightning.data.sampling import stratified_rows
from acl_lightning.data.synthetic import generate_split
from acl_lightning.data.tables import TASKS, TaskInfo, task_info

__all__ = [
    "TASKS",
    "EpochSampler",
    "GLUEDataModule",
    "ResumableLoader",
    "ShardedBatchSampler",
    "TaskInfo",
    "generate_split",
    "read_split",
    "stratified_rows",
    "task_info",
]
