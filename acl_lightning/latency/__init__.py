"""Wall-clock time of a run's operating points on this machine, compared with the plain Hugging Face model.

`time_run` times a run, `write_report` writes its tables and figure; the command `python -m acl_lightning latency` calls
both. `measure` times operating points of an encoder, `interleaved` times any functions in turn.
"""

from acl_lightning.latency.plain_model import plain_model
from acl_lightning.latency.point_times import PointTime, measure
from acl_lightning.latency.report import write_report
from acl_lightning.latency.run_times import Conditions, RunTimes, time_run
from acl_lightning.latency.stopwatch import interleaved, ratio

__all__ = [
    "Conditions",
    "PointTime",
    "RunTimes",
    "interleaved",
    "measure",
    "plain_model",
    "ratio",
    "time_run",
    "write_report",
]
