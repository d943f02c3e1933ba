"""Data of the GLUE tasks and of tables, in batches that are the same on any number of devices.

The main classes are `GLUEDataModule` and `TableDataModule`. `TASKS` is the table of the nine tasks, `generate_split`
generates data with known difficulty, and `ResumableLoader` with its samplers determines the order of the batches.
"""

from acl_lightning.data.datamodule import GLUEDataModule
from acl_lightning.data.glue_files import read_split
from acl_lightning.data.loaders import ResumableLoader
from acl_lightning.data.protocol import SelectionProtocol
from acl_lightning.data.samplers import EpochSampler, ShardedBatchSampler
from acl_lightning.data.split_module import SplitDataModule
from acl_lightning.data.stratified import stratified_order, stratified_rows
from acl_lightning.data.synthetic import generate_split
from acl_lightning.data.table_module import TableDataModule
from acl_lightning.data.task_module import TaskDataModule
from acl_lightning.data.tasks import TASKS, TaskInfo, task_info
from acl_lightning.data.text_module import TextDataModule

__all__ = [
    "TASKS",
    "EpochSampler",
    "GLUEDataModule",
    "ResumableLoader",
    "SelectionProtocol",
    "ShardedBatchSampler",
    "SplitDataModule",
    "TableDataModule",
    "TaskDataModule",
    "TaskInfo",
    "TextDataModule",
    "generate_split",
    "read_split",
    "stratified_order",
    "stratified_rows",
    "task_info",
]
