"""Report on the times of a run: `latency.csv`, `exit_latency.csv`, `latency.png`, and a table for the terminal."""

from __future__ import annotations

from pathlib import Path

from acl_lightning.figures import measured_speed_figure
from acl_lightning.files import save_figure, write_text_atomically
from acl_lightning.latency.run_times import RunTimes
from acl_lightning.latency.stopwatch import TimeRange
from acl_lightning.runs.names import EXIT_LATENCY, LATENCY, LATENCY_FIGURE
from acl_lightning.runs.records.tables import csv_text


def write_report(times: RunTimes, out: Path) -> None:
    """Write both tables and the figure into the directory `out`.

    Raises:
        UserError: The file system refuses a write.
    """
    write_text_atomically(out / LATENCY, latency_csv(times))
    write_text_atomically(out / EXIT_LATENCY, exit_csv(times))
    _write_figure(times, out / LATENCY_FIGURE)


def latency_csv(times: RunTimes) -> str:
    """Return a table with a row per mode and operating point.

    `quality` is that of the report split, and empty where it is unknown.
    """
    conditions = vars(times.conditions)
    header = [
        *("mode", "operating_point", "criterion", "threshold", "quality", "mean_exit_layer", "layer_speedup"),
        *("flops_speedup", "measured_speedup", "measured_speedup_low", "measured_speedup_high"),
        *("milliseconds", "milliseconds_low", "milliseconds_high", *conditions),
    ]
    rows = [
        [
            *(point.mode, point.name, point.criterion, point.threshold, times.quality.get(point.name)),
            *(_short(value) for value in (point.mean_exit_layer, point.layer_speedup, point.flops_speedup)),
            *(_short(value) for value in (*point.measured_speedup, *point.milliseconds)),
            *conditions.values(),
        ]
        for point in times.points
    ]
    return csv_text(header, rows)


def exit_csv(times: RunTimes) -> str:
    """Return a table with the times of a sample that leaves at each exit, for budgets of measured time.

    Columns: `exit_layer`, `milliseconds` (with every exit before it evaluated), `static_milliseconds` (with no other
    exit evaluated), `plain_milliseconds` (the plain model), `mode`, and the conditions.
    """
    exits, conditions = times.exits, vars(times.conditions)
    header = ["exit_layer", "milliseconds", "static_milliseconds", "plain_milliseconds", "mode", *conditions]
    rows = [
        [layer, by_criterion, static, exits.plain, times.exit_mode, *conditions.values()]
        for layer, by_criterion, static in zip(exits.layers_E, exits.by_criterion_E, exits.static_E, strict=True)
    ]
    return csv_text(header, rows)


def table(times: RunTimes) -> str:
    """Return the times of the operating points as a table for the terminal."""
    conditions = times.conditions
    lines = [
        f"{conditions.samples} samples of {conditions.mean_tokens:.0f} tokens, batches of {conditions.batch_size}, "
        f"{conditions.device}, {conditions.threads} threads",
        f"Speed-ups over the plain model; measured: median (smallest-largest) of {conditions.repeats} rounds",
        f"{'mode':<11} {'operating point':<16} {'layer':>6} {'by layers':>10} {'by FLOPs':>9} {'measured':>9}"
        f"  {'':<13} {'per sample':>10}",
    ]
    for point in times.points:
        median, low, high = point.measured_speedup
        spread = f"({low:.2f}-{high:.2f})"
        lines.append(
            f"{point.mode:<11} {point.name:<16} {point.mean_exit_layer:>6.2f} {point.layer_speedup:>9.2f}x "
            f"{point.flops_speedup:>8.2f}x {median:>8.2f}x  {spread:<13} {point.milliseconds.median:>7.2f} ms"
        )
    return "\n".join(lines)


def _write_figure(times: RunTimes, path: Path) -> None:
    """Draw the operating points whose quality is known."""
    known = [point for point in times.points if times.quality.get(point.name) is not None]
    ranges: dict[str, dict[str, TimeRange]] = {}
    for point in known:
        ranges.setdefault(point.mode, {})[point.name] = point.measured_speedup
    figure = measured_speed_figure(
        {point.name: float(times.quality[point.name] or 0.0) for point in known},
        {point.name: {"layers": point.layer_speedup, "FLOPs": point.flops_speedup} for point in known},
        ranges,
        metric=times.metric,
        title=f"{times.task}: quality and speed-up on {times.conditions.device}, {times.conditions.threads} threads",
    )
    save_figure(figure, path)


def _short(value: float) -> str:
    return f"{value:.6g}"
