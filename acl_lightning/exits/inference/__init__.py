"""Adaptive inference on torch: samples that leave at an early exit are not computed any further.

`AdaptiveRuntime` holds an encoder, a criterion and a threshold. Call it on a batch, or give `stream` an iterable of
batches and one of three modes:

- `latency`: one sample at a time, without padding (requests that arrive one by one);
- `batch`: one batch at a time;
- `throughput`: several batches together, with samples sorted by length and merged as others leave (whole files).

Answers are the same in all modes, apart from rounding. The layer loop is `LayerStepper`; `DecisionTable` stores the
logits and exits of all samples that are computed together.

Shapes: E exits, C classes, S tokens, D width, B samples of a batch, N samples computed together, R rows of a padded
batch.
"""

from acl_lightning.exits.inference.adaptive import AdaptiveRuntime
from acl_lightning.exits.inference.decisions import Decisions
from acl_lightning.exits.inference.layer_stepper import ROW_FIRST_TOKENS
from acl_lightning.exits.inference.modes import MODES, BatchMode, LatencyMode, Mode, ThroughputMode

__all__ = [
    "MODES",
    "ROW_FIRST_TOKENS",
    "AdaptiveRuntime",
    "BatchMode",
    "Decisions",
    "LatencyMode",
    "Mode",
    "ThroughputMode",
]
