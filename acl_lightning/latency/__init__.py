"""Wall clock: what the operating points of a run gain on this machine, against the plain Hugging Face model.

`interleaved` is the stopwatch, `plain_model` the reference, `measure` puts both to a run's operating points in the
modes of the adaptive runtime; `python -m acl_lightning latency RUN` writes what it finds.
"""

from acl_lightning.latency.measurement import Measured, measure
from acl_lightning.latency.plain_model import plain_model
from acl_lightning.latency.stopwatch import interleaved, ratio

__all__ = ["Measured", "interleaved", "measure", "plain_model", "ratio"]
