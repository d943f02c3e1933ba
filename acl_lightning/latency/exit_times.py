"""Time of a sample that leaves at each exit, from which budgets of measured time select operating points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from acl_lightning.encoders import MultiExitEncoder
from acl_lightning.exits import Criterion, Entropy, Patience, Static
from acl_lightning.latency.inputs import Inputs
from acl_lightning.latency.point_times import measure


class EveryExit(Criterion):
    """Evaluates every exit up to the one whose number is the threshold, where all samples leave.

    The certainty of `inner` is computed at each exit, so that the time includes that of a criterion, although the
    decision does not depend on it.

    Args:
        inner: Criterion whose certainty is computed.
    """

    name: ClassVar[str] = "every_exit"
    supports_regression: ClassVar[bool] = True

    def __init__(self, inner: Criterion) -> None:
        self.inner = inner

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return certainties (E, B): the number of the exit, counted from 1."""
        self.inner.certainty(logits_EBC)
        return Static().certainty(logits_EBC)

    def thresholds(self, num_exits: int) -> list[float]:
        """Return 1 ... E."""
        return Static().thresholds(num_exits)

    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` unless `threshold` is a whole number of at least 1."""
        Static().check_threshold(threshold)


@dataclass(frozen=True)
class ExitTimes:
    """Median times of one sample that leaves at each exit, in milliseconds.

    Attributes:
        layers_E: Layer of each exit, counted from 1.
        by_criterion_E: Time if every exit before it is evaluated.
        static_E: Time if no other exit is evaluated.
        plain: Time of the plain model.
    """

    layers_E: tuple[int, ...]
    by_criterion_E: tuple[float, ...]
    static_E: tuple[float, ...]
    plain: float


def measure_exits(
    encoder: MultiExitEncoder, reference: nn.Module, batches: list[Inputs], *, mode: str, repeats: int
) -> ExitTimes:
    """Time every exit in one mode, with and without the exits before it, in turn with the plain model.

    Args:
        encoder: Encoder in evaluation mode, on the device of the inputs.
        reference: The plain model, on the same device.
        batches: At least one batch; no batch is empty.
        mode: Name of a mode of adaptive inference.
        repeats: Number of rounds after the warm-up.
    """
    every = EveryExit(Patience() if encoder.num_labels == 1 else Entropy())
    numbers: Sequence[int] = range(1, encoder.num_exits + 1)
    points: dict[str, tuple[Criterion, float]] = {f"exit {number}": (every, float(number)) for number in numbers}
    points |= {f"static {number}": (Static(), float(number)) for number in numbers}
    times = {time.name: time for time in measure(encoder, reference, points, batches, modes=[mode], repeats=repeats)}
    return ExitTimes(
        encoder.exit_layers,
        tuple(times[f"exit {number}"].milliseconds.median for number in numbers),
        tuple(times[f"static {number}"].milliseconds.median for number in numbers),
        times["static 1"].plain_milliseconds,
    )
