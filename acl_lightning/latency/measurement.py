"""Operating points and modes against the plain model, on the same inputs, in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from acl_lightning.encoders import MultiExitEncoder, exit_flops, flop_counter, full_depth_flops, static_exit_flops
from acl_lightning.exits import Criterion, Static
from acl_lightning.exits.inference import ROW_FIRST_TOKENS, AdaptiveRuntime
from acl_lightning.latency.inputs import Inputs, singles
from acl_lightning.latency.stopwatch import Spread, interleaved, ratio, spread

#: How the reference is served where the runtime is served in a mode; throughput is against whole batches too.
REFERENCE_INPUTS: Mapping[str, Callable[[list[Inputs]], list[Inputs]]] = {
    "latency": singles,
    "batch": lambda batches: batches,
    "throughput": lambda batches: batches,
}

_REFERENCE = "plain model"


@dataclass(frozen=True)
class Measured:
    """What one operating point costs in one mode, on the inputs that were timed.

    Attributes:
        mode: of the adaptive runtime.
        name: of the operating point.
        criterion: its criterion's name.
        threshold: its threshold.
        mean_exit_layer: mean layer (from 1) at which the samples leave.
        layer_speedup: depth / mean_exit_layer.
        flops_speedup: FLOPs of the plain model / FLOPs that the runtime computes, both on the inputs as they are served
            in this mode: padding included in batches, whole layers where the runtime computes whole layers.
        measured_speedup: wall clock of the plain model / of this, of rounds side by side.
        milliseconds: per sample.
        plain_milliseconds: Median time of the plain model per sample.
    """

    mode: str
    name: str
    criterion: str
    threshold: float
    mean_exit_layer: float
    layer_speedup: float
    flops_speedup: float
    measured_speedup: Spread
    milliseconds: Spread
    plain_milliseconds: float


def measure(
    encoder: MultiExitEncoder,
    reference: nn.Module,
    points: Mapping[str, tuple[Criterion, float]],
    batches: list[Inputs],
    *,
    modes: Sequence[str],
    repeats: int,
) -> list[Measured]:
    """Time every operating point in every mode.

    Within a mode all points and the reference take turns; warm-up, synchronisation and the median are `interleaved`'s
    and `ratio`'s. In `latency` mode the reference too answers one sample at a time, without padding.

    Args:
        encoder: in evaluation mode, on the device of the inputs.
        reference: the plain model, on the same device.
        points: name -> criterion and threshold.
        batches: at least one, none empty.
        modes: names of modes.
        repeats: rounds.

    Raises:
        UserError: a mode that does not exist, a threshold out of range, fewer than one round.
    """
    runtimes = {name: AdaptiveRuntime(encoder, *point) for name, point in points.items()}
    device = batches[0]["input_ids"].device
    wait = torch.cuda.synchronize if device.type == "cuda" else _no_wait
    found = []
    for mode in modes:
        candidates = _candidates(runtimes, reference, batches, mode)
        seconds = interleaved(candidates, repeats, wait=wait)
        for name, runtime in runtimes.items():
            layers_n, costs = _exits(runtime, batches, mode)
            found.append(
                Measured(
                    mode=mode,
                    name=name,
                    criterion=runtime.criterion.name,
                    threshold=points[name][1],
                    mean_exit_layer=layers_n,
                    layer_speedup=encoder.depth / layers_n,
                    flops_speedup=costs,
                    measured_speedup=ratio(seconds[_REFERENCE], seconds[name]),
                    milliseconds=_per_sample(seconds[name], batches),
                    plain_milliseconds=_per_sample(seconds[_REFERENCE], batches).median,
                )
            )
    return found


def _candidates(
    runtimes: Mapping[str, AdaptiveRuntime], reference: nn.Module, batches: list[Inputs], mode: str
) -> dict[str, Callable[[], object]]:
    candidates: dict[str, Callable[[], object]] = {
        name: lambda runtime=runtime: [*runtime.stream(batches, mode)]  # type: ignore[misc]
        for name, runtime in runtimes.items()
    }
    served = REFERENCE_INPUTS.get(mode, list)(batches)
    return {_REFERENCE: lambda: _serve(reference, served), **candidates}


def _serve(model: nn.Module, batches: list[Inputs]) -> None:
    with torch.no_grad():
        for batch in batches:
            model(**batch)


def _exits(runtime: AdaptiveRuntime, batches: list[Inputs], mode: str) -> tuple[float, float]:
    """Return the mean exit layer and the FLOPs speed-up of the inputs as they are served in a mode."""
    encoder = runtime.encoder
    if mode == "latency":
        decisions = list(runtime.stream(batches))
        exits = torch.cat([one.exit_B for one in decisions]).tolist()
        lengths = [length for batch in batches for length in batch["attention_mask"].sum(dim=1).tolist()]
        tables = {length: _alone(runtime, length) for length in set(lengths)}
        computed = sum(tables[length][exit_] for length, exit_ in zip(lengths, exits, strict=True))
    else:
        with flop_counter(encoder) as counter:
            decisions = list(runtime.stream(batches, mode))
        computed = counter.get_total_flops()
    samples = Counter[int]()
    for batch in REFERENCE_INPUTS.get(mode, list)(batches):
        samples[batch["input_ids"].shape[1]] += len(batch["input_ids"])
    full = sum(number * full_depth_flops(encoder, length) for length, number in samples.items())
    layers_n = torch.cat([one.exit_layer_B for one in decisions])
    return float(layers_n.double().mean()), full / computed


def _alone(runtime: AdaptiveRuntime, length: int) -> tuple[float, ...]:
    """Return the FLOPs of one sample of `length` tokens, served by itself, that leaves at each exit."""
    if isinstance(runtime.criterion, Static):
        return static_exit_flops(runtime.encoder, length)
    return exit_flops(runtime.encoder, length, whole_layers=length < ROW_FIRST_TOKENS)


def _per_sample(seconds: Sequence[float], batches: list[Inputs]) -> Spread:
    samples = sum(len(batch["input_ids"]) for batch in batches)
    return spread([1000 * value / samples for value in seconds])


def _no_wait() -> None:
    pass
