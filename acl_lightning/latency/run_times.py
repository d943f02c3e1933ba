"""Timing of a finished run: its operating points, its exits, and the conditions of the measurement."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from acl_lightning.encoders import MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, Static, SweepReport
from acl_lightning.exits.inference import MODES
from acl_lightning.export import resolve_point, served_points
from acl_lightning.export.served_points import sweep_report
from acl_lightning.latency.exit_times import ExitTimes, measure_exits
from acl_lightning.latency.inputs import Inputs, num_tokens, on_device, text_batches, validation_batches
from acl_lightning.latency.plain_model import plain_image_model, plain_model
from acl_lightning.latency.point_times import PointTime, measure
from acl_lightning.runs import load_run, read_result
from acl_lightning.runs.data_modules import image_data, text_data

#: Name of the operating point at which all layers are computed.
FULL_DEPTH = "full_depth"


@dataclass(frozen=True)
class Conditions:
    """Conditions under which times were measured.

    Attributes:
        device: Name of the device.
        threads: Number of CPU threads of torch.
        batch_size: Number of samples in a batch, except in latency mode.
        samples: Number of samples in a round.
        mean_tokens: Mean number of tokens of a sample.
        repeats: Number of rounds after the warm-up.
    """

    device: str
    threads: int
    batch_size: int
    samples: int
    mean_tokens: float
    repeats: int


@dataclass(frozen=True)
class RunTimes:
    """Times of a run on this machine.

    Attributes:
        task: Name of the run's task.
        metric: Name of the quality measure.
        points: Times of each operating point in each mode.
        exits: Times of each exit in the first mode.
        exit_mode: Name of that mode.
        quality: Name of each operating point -> its quality on the report split, a fraction; None: unknown.
        conditions: Conditions of the measurement.
    """

    task: str
    metric: str
    points: tuple[PointTime, ...]
    exits: ExitTimes
    exit_mode: str
    quality: Mapping[str, float | None]
    conditions: Conditions


def time_run(
    run: str | os.PathLike[str],
    *,
    checkpoint: str | None = None,
    operating_points: Sequence[str] | None = None,
    modes: Sequence[str] = tuple(MODES),
    batch_size: int = 32,
    repeats: int = 5,
    rows: int = 256,
    texts: Path | None = None,
    text_columns: Sequence[str] | None = None,
    device: str = "cpu",
) -> RunTimes:
    """Time the operating points and exits of a finished run in turn with the plain Hugging Face model.

    Args:
        run: Directory of the run.
        checkpoint: `best`, `last` or a file. None: the checkpoint that the run's result was measured on.
        operating_points: Names of operating points. None: all recommended ones. Full depth is always timed.
        modes: Names of modes of adaptive inference.
        batch_size: Number of samples in a batch.
        repeats: Number of rounds after the warm-up.
        rows: Largest number of samples.
        texts: File of texts to time, see `read_texts`. None: the run's validation data, of texts or images.
        text_columns: Names of the text columns in `texts`. None: those of the task.
        device: Name of a device, such as `cpu` or `cuda`.

    Raises:
        UserError: There is no such run, checkpoint, operating point, mode or device, `texts` cannot be read, or
            the run is one on images.
    """
    result = read_result(run)
    report = sweep_report(result)
    points, quality = _points(report, operating_points)
    target = _device(device)
    module, data = load_run(run, checkpoint)
    encoder = module.encoder.to(target)
    images = None if texts is not None else image_data(data)
    if images is not None:
        batches = validation_batches(images, batch_size, rows)
        reference = plain_image_model(encoder, target)
    else:
        of_texts = text_data(data, Path(run))
        reference = plain_model(of_texts.tokenizer_source, encoder.num_labels, target)
        if texts is None:
            batches = validation_batches(of_texts, batch_size, rows)
        else:
            batches = text_batches(of_texts, texts, batch_size, rows, text_columns)
    batches = on_device(batches, target)
    points = {FULL_DEPTH: (Static(), float(encoder.num_exits)), **points}
    return RunTimes(
        task=result.task or "unnamed data",
        metric="quality" if report is None else report.metric,
        points=tuple(measure(encoder, reference, points, batches, modes=modes, repeats=repeats)),
        exits=measure_exits(encoder, reference, batches, mode=modes[0], repeats=repeats),
        exit_mode=modes[0],
        quality=quality,
        conditions=_conditions(encoder, batches, target, batch_size, repeats),
    )


def _device(name: str) -> torch.device:
    """Return a device of this machine, or raise `UserError`."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError("a device of this machine", f"{name!r} ({reason})", "Set --device cpu.") from error
    return device


def _points(
    report: SweepReport | None, names: Sequence[str] | None
) -> tuple[dict[str, tuple[Criterion, float]], dict[str, float | None]]:
    """Return criterion and threshold of the operating points `names` (None: all), and their quality."""
    stored = {} if report is None else served_points(report.recommended)
    points = {name: resolve_point(stored, name, ()) for name in (stored if names is None else names)}
    quality = {name: stored[name]["measured"].get("quality") for name in points}
    full = math.nan if report is None else report.full_depth[report.metric]
    return points, {FULL_DEPTH: None if math.isnan(full) else full, **quality}


def _conditions(
    encoder: MultiExitEncoder, batches: list[Inputs], device: torch.device, batch_size: int, repeats: int
) -> Conditions:
    lengths = [length for batch in batches for length in num_tokens(batch, encoder)]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"
    return Conditions(
        device=name,
        threads=torch.get_num_threads(),
        batch_size=batch_size,
        samples=len(lengths),
        mean_tokens=round(sum(lengths) / len(lengths), 1),
        repeats=repeats,
    )
