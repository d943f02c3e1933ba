"""Times of operating points in each mode and of the plain model, on the same inputs, in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from acl_lightning.encoders import MultiExitEncoder, exit_flops, flop_counter, full_depth_flops, static_exit_flops
from acl_lightning.exits import Criterion, Static, to_config
from acl_lightning.exits.inference import ROW_FIRST_TOKENS, AdaptiveRuntime
from acl_lightning.latency.inputs import Inputs, num_samples, num_tokens, singles
from acl_lightning.latency.stopwatch import TimeRange, interleaved, ratio, time_range

#: Mode -> function that prepares the inputs of the plain model. In latency mode it too gets single samples without
#: padding; in throughput mode it gets the batches.
REFERENCE_INPUTS: Mapping[str, Callable[[list[Inputs]], list[Inputs]]] = {
    "latency": singles,
    "batch": lambda batches: batches,
    "throughput": lambda batches: batches,
}

_REFERENCE = "plain model"


@dataclass(frozen=True)
class PointTime:
    """Time and theoretical speed-ups of one operating point in one mode.

    Attributes:
        mode: Name of the mode of adaptive inference.
        name: Name of the operating point.
        criterion: Name of its criterion.
        threshold: Its threshold.
        mean_exit_layer: Mean layer, counted from 1, at which the samples leave.
        layer_speedup: Number of layers of the plain model / `mean_exit_layer`.
        flops_speedup: FLOPs of the plain model / FLOPs that the runtime computes, both on the inputs of this mode:
            padding in batches and layers that the runtime computes whole are included.
        measured_speedup: Wall-clock time of the plain model / that of this operating point, from the same rounds.
        milliseconds: Time per sample.
        plain_milliseconds: Median time per sample of the plain model.
    """

    mode: str
    name: str
    criterion: str
    threshold: float
    mean_exit_layer: float
    layer_speedup: float
    flops_speedup: float
    measured_speedup: TimeRange
    milliseconds: TimeRange
    plain_milliseconds: float


def measure(
    encoder: MultiExitEncoder,
    reference: nn.Module,
    points: Mapping[str, tuple[Criterion, float]],
    batches: list[Inputs],
    *,
    modes: Sequence[str],
    repeats: int,
) -> list[PointTime]:
    """Time every operating point in every mode, in turn with the plain model.

    Within a mode all operating points and the plain model are timed round by round after a warm-up, see `interleaved`.
    Names of the same operating point share a measurement.
    In `latency` mode the plain model too answers one sample at a time, without padding.

    Args:
        encoder: Encoder in evaluation mode, on the device of the inputs.
        reference: The plain model, on the same device.
        points: Name -> criterion and threshold.
        batches: At least one batch; no batch is empty.
        modes: Names of modes of adaptive inference.
        repeats: Number of rounds after the warm-up.

    Raises:
        UserError: There is no such mode, a threshold is out of range, or `repeats` is less than 1.
    """
    first_names = _first_names(points)
    runtimes = {name: AdaptiveRuntime(encoder, *points[name]) for name in dict.fromkeys(first_names.values())}
    device = next(iter(batches[0].values())).device
    wait = torch.cuda.synchronize if device.type == "cuda" else _no_wait
    times = []
    for mode in modes:
        candidates = _candidates(runtimes, reference, batches, mode)
        seconds = interleaved(candidates, repeats, wait=wait)
        exits = {name: _exits(runtime, batches, mode) for name, runtime in runtimes.items()}
        for name, first in first_names.items():
            mean_exit_layer, flops_speedup = exits[first]
            times.append(
                PointTime(
                    mode=mode,
                    name=name,
                    criterion=points[name][0].name,
                    threshold=points[name][1],
                    mean_exit_layer=mean_exit_layer,
                    layer_speedup=encoder.depth / mean_exit_layer,
                    flops_speedup=flops_speedup,
                    measured_speedup=ratio(seconds[_REFERENCE], seconds[first]),
                    milliseconds=_per_sample(seconds[first], batches),
                    plain_milliseconds=_per_sample(seconds[_REFERENCE], batches).median,
                )
            )
    return times


def _first_names(points: Mapping[str, tuple[Criterion, float]]) -> dict[str, str]:
    """Return, for each name, the first name of the same criterion, settings and threshold."""
    keys = {name: (repr(to_config(criterion)), threshold) for name, (criterion, threshold) in points.items()}
    return {name: next(other for other in keys if keys[other] == key) for name, key in keys.items()}


def _candidates(
    runtimes: Mapping[str, AdaptiveRuntime], reference: nn.Module, batches: list[Inputs], mode: str
) -> dict[str, Callable[[], object]]:
    """Return the functions to time, by name: the plain model first, then each operating point."""
    candidates: dict[str, Callable[[], object]] = {
        name: lambda runtime=runtime: [*runtime.stream(batches, mode)]  # type: ignore[misc]
        for name, runtime in runtimes.items()
    }
    inputs = REFERENCE_INPUTS.get(mode, list)(batches)
    return {_REFERENCE: lambda: _classify(reference, inputs), **candidates}


def _classify(model: nn.Module, batches: list[Inputs]) -> None:
    with torch.no_grad():
        for batch in batches:
            model(**batch)


def _exits(runtime: AdaptiveRuntime, batches: list[Inputs], mode: str) -> tuple[float, float]:
    """Return the mean exit layer and the FLOPs speed-up of the inputs in a mode."""
    encoder = runtime.encoder
    if mode == "latency":
        decisions = list(runtime.stream(batches))
        exits = torch.cat([batch.exit_B for batch in decisions]).tolist()
        lengths = [length for batch in batches for length in num_tokens(batch, encoder)]
        tables = {length: _flops_alone(runtime, length) for length in set(lengths)}
        computed = sum(tables[length][exit_] for length, exit_ in zip(lengths, exits, strict=True))
    else:
        with flop_counter(encoder) as counter:
            decisions = list(runtime.stream(batches, mode))
        computed = counter.get_total_flops()
    samples = Counter[int]()
    for batch in REFERENCE_INPUTS.get(mode, list)(batches):
        # The plain model computes padding too.
        length = batch["input_ids"].shape[1] if "input_ids" in batch else encoder.backbone.max_tokens
        samples[length] += num_samples(batch)
    full = sum(number * full_depth_flops(encoder, length) for length, number in samples.items())
    layers_n = torch.cat([batch.exit_layer_B for batch in decisions])
    return float(layers_n.double().mean()), full / computed


def _flops_alone(runtime: AdaptiveRuntime, length: int) -> tuple[float, ...]:
    """Return the FLOPs of a single sample of `length` tokens that leaves at each exit."""
    if isinstance(runtime.criterion, Static):
        return static_exit_flops(runtime.encoder, length)
    return exit_flops(runtime.encoder, length, whole_layers=length < ROW_FIRST_TOKENS)


def _per_sample(seconds: Sequence[float], batches: list[Inputs]) -> TimeRange:
    samples = sum(num_samples(batch) for batch in batches)
    return time_range([1000 * value / samples for value in seconds])


def _no_wait() -> None:
    pass
