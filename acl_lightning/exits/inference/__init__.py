"""Adaptive inference: a sample stops being computed at the exit it leaves by.

`AdaptiveRuntime` holds the encoder, the criterion and the threshold, and answers a batch, or a stream of batches in one
of three modes with the same answers: `latency`, `batch`, `throughput`. `Passage` is what the modes share: it takes
packs of samples through the layers, and asks the criterion at each exit.
"""

from acl_lightning.exits.inference.adaptive import AdaptiveRuntime
from acl_lightning.exits.inference.decisions import Decisions
from acl_lightning.exits.inference.modes import MODES, Mode, OneBatch, OneSample, Window
from acl_lightning.exits.inference.passage import ROW_FIRST_TOKENS

__all__ = ["MODES", "ROW_FIRST_TOKENS", "AdaptiveRuntime", "Decisions", "Mode", "OneBatch", "OneSample", "Window"]
