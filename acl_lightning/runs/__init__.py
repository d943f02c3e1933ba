"""Run directories: names, readers and writers of their files, checkpoints, and the context of commands that use them.

`names` holds the names of all files; `records` reads and writes them; `directory` and `checkpoints` find and create
them; `session` is for commands that write; `load_run` builds a trained model again. Nothing here imports torch before a
function that needs it is called.
"""

from acl_lightning.runs.loading import load_run
from acl_lightning.runs.records import RunResult, read_result, run_status

__all__ = ["RunResult", "load_run", "read_result", "run_status"]
