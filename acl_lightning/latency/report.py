"""What was measured, as tables and for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acl_lightning.latency.exit_times import ExitTimes
from acl_lightning.latency.measurement import Measured


@dataclass(frozen=True)
class Circumstances:
    """Under what the times hold.

    Attributes:
        device: its name.
        threads: of the CPU that torch uses.
        batch_size: of the batches, but in latency mode.
        samples: timed in a round.
        mean_tokens: of a sample.
        repeats: rounds.
    """

    device: str
    threads: int
    batch_size: int
    samples: int
    mean_tokens: float
    repeats: int


def latency_csv(measured: Sequence[Measured], quality: Mapping[str, float | None], circumstances: Circumstances) -> str:
    """A row per mode and operating point; `quality` is the validation report half's, empty where it is not known."""
    header = [
        *("mode", "operating_point", "criterion", "threshold", "quality", "mean_exit_layer", "layer_speedup"),
        *("flops_speedup", "measured_speedup", "measured_speedup_low", "measured_speedup_high"),
        *("milliseconds", "milliseconds_low", "milliseconds_high", *vars(circumstances)),
    ]
    rows = [
        [
            *(one.mode, one.name, one.criterion, one.threshold, quality.get(one.name)),
            *(_short(value) for value in (one.mean_exit_layer, one.layer_speedup, one.flops_speedup)),
            *(_short(value) for value in (*one.measured_speedup, *one.milliseconds)),
            *vars(circumstances).values(),
        ]
        for one in measured
    ]
    return _csv(header, rows)


def exit_csv(times: ExitTimes, mode: str, circumstances: Circumstances) -> str:
    """Return the time of a sample that leaves at each exit, from which budgets of measured time choose a point.

    Columns: `exit_layer`, `milliseconds` (by a criterion, with every exit before it evaluated), `static_milliseconds`
    (as a static exit), `plain_milliseconds` (the plain model), `mode`, and the circumstances.
    """
    header = ["exit_layer", "milliseconds", "static_milliseconds", "plain_milliseconds", "mode", *vars(circumstances)]
    rows = [
        [layer, by_criterion, static, times.plain, mode, *vars(circumstances).values()]
        for layer, by_criterion, static in zip(times.layers_E, times.by_criterion_E, times.static_E, strict=True)
    ]
    return _csv(header, rows)


def table(measured: Sequence[Measured], circumstances: Circumstances) -> str:
    """The same for a terminal."""
    lines = [
        f"{circumstances.samples} samples of {circumstances.mean_tokens:.0f} tokens, batches of "
        f"{circumstances.batch_size}, {circumstances.device}, {circumstances.threads} threads; "
        f"median (smallest-largest) of {circumstances.repeats} rounds against the plain model",
        f"{'mode':<11} {'operating point':<16} {'layer':>6} {'by layers':>10} {'by FLOPs':>9} {'measured':>9}",
    ]
    for one in measured:
        median, low, high = one.measured_speedup
        lines.append(
            f"{one.mode:<11} {one.name:<16} {one.mean_exit_layer:>6.2f} {one.layer_speedup:>9.2f}x "
            f"{one.flops_speedup:>8.2f}x {median:>8.2f}x  ({low:.2f}-{high:.2f})  {one.milliseconds.median:.2f} ms"
        )
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.6g}"


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
