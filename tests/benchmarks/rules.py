"""What a gradient rule costs: `discard` by scope, over a CE step and over torchjd; and its memory.

Run by `make bench`. MiniLM with six `mean_row` exits, batch 32, the same padded batches for every contestant (real RTE
where ACL_LIGHTNING_GLUE is set). Steps are bare (forward, gradients, clipping, AdamW; no trainer). The contestants take
turns in one process; ratios are taken round by round, their median and range are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torchjd
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torchjd.aggregation import GramianWeightedAggregator, Weighting

from acl_lightning.encoders import EncoderConfig
from acl_lightning.gradients import (
    ACLGrad,
    GradientRule,
    GradientStep,
    Representation,
    Scope,
    Sum,
    TopLayers,
    autograd_rows,
)
from acl_lightning.objectives import ACLEmbed, Objective, WeightedObjective
from acl_lightning.outputs import ExitOutputs
from acl_lightning.training.allocator import keep_freed_memory
from acl_lightning.training.optimization import OptimizationConfig, build_optimizer
from tests.benchmarks.training import batches

Batches = list[dict[str, Tensor]]


class Contestant:
    """A model, its optimiser, and one way to take a step."""

    def __init__(self, objective: Objective) -> None:
        torch.manual_seed(0)
        self.encoder = EncoderConfig().build(2)
        self.objective = objective
        self.optimizer, _ = build_optimizer(self.encoder.named_parameters(), OptimizationConfig(), 1000, fused=True)

    def gradients(self, outputs: ExitOutputs, labels: Tensor) -> None:
        """Write `.grad`."""
        raise NotImplementedError

    def step(self, batch: dict[str, Tensor]) -> None:
        """Forward, gradients, clipping, optimiser."""
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        self.gradients(self.encoder(**inputs), batch["labels"])
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Ours(Contestant):
    """Through `GradientStep`."""

    def __init__(self, objective: Objective, rule: GradientRule, scope: Scope | None = None) -> None:
        super().__init__(objective)
        self.rule_step = GradientStep(rule, self.encoder.named_parameters(), scope)

    def gradients(self, outputs: ExitOutputs, labels: Tensor) -> None:
        """One or two backward passes, as the scope wants it."""
        self.rule_step.add(list(self.objective(outputs, labels).values()), outputs.embeddings_EBD)
        self.rule_step.finish()


class TwoPasses(Contestant):
    """The floor of a test over all parameters: both gradients are computed, and nothing is decided."""

    def gradients(self, outputs: ExitOutputs, labels: Tensor) -> None:
        """Two backward passes; the first is the update."""
        parameters = list(self.encoder.parameters())
        first, _ = autograd_rows(list(self.objective(outputs, labels).values()), parameters)
        for parameter, gradient in zip(parameters, first, strict=True):
            parameter.grad = gradient


class _DiscardWeights(Weighting):
    """ACL-Grad as torchjd sees it: from the Gramian of the terms' gradients, 1 for what agrees with the first."""

    def forward(self, gramian: Tensor) -> Tensor:
        return (gramian[0] >= 0).to(gramian.dtype)


class TorchJD(Contestant):
    """The same update, from torchjd's Jacobian: as its documentation calls it, or tuned for a CPU.

    Tuned, it takes a backward pass per row, which is its faster mode on a CPU, and its cheaper way to the Gramian.
    """

    def __init__(self, objective: Objective, *, tuned: bool) -> None:
        super().__init__(objective)
        self.tuned = tuned
        self.aggregator = GramianWeightedAggregator(_DiscardWeights())

    def gradients(self, outputs: ExitOutputs, labels: Tensor) -> None:
        """The Jacobian, then its aggregation into `.grad`."""
        parameters = list(self.encoder.parameters())
        terms = list(self.objective(outputs, labels).values())
        torchjd.autojac.backward(terms, inputs=parameters, parallel_chunk_size=1 if self.tuned else None)
        torchjd.autojac.jac_to_grad(parameters, self.aggregator, optimize_gramian_computation=self.tuned)


def contestants() -> dict[str, Contestant]:
    """Name -> contestant."""
    return {
        "CE": Ours(WeightedObjective(), Sum()),
        "two backward passes, no decision": TwoPasses(WeightedObjective(ACLEmbed())),
        "discard, all": Ours(WeightedObjective(ACLEmbed()), ACLGrad()),
        "discard, top 1 layer": Ours(WeightedObjective(ACLEmbed()), ACLGrad(), TopLayers(1)),
        "discard, top 2 layers": Ours(WeightedObjective(ACLEmbed()), ACLGrad(), TopLayers(2)),
        "discard, representation": Ours(WeightedObjective(ACLEmbed()), ACLGrad(), Representation()),
        "torchjd, as documented": TorchJD(WeightedObjective(ACLEmbed()), tuned=False),
        "torchjd, tuned": TorchJD(WeightedObjective(ACLEmbed()), tuned=True),
    }


def seconds(step: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after one that does not count."""
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ratio_line(name: str, over: list[float], under: list[float], limit: str) -> str:
    """`name: median (low-high), at most limit`."""
    ratios = sorted(a / b for a, b in zip(over, under, strict=True))
    return f"  {name:46} {statistics.median(ratios):5.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})  {limit}"


def peak_bytes(step: Callable[[], object]) -> int:
    """Most memory that tensors held during a call, beyond what they held before it."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as directory:
        warnings.simplefilter("ignore")
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            step()
        path = Path(directory) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    held = [
        int(e["args"]["Bytes"]) for e in sorted(events, key=lambda e: e.get("ts", 0)) if e.get("name") == "[memory]"
    ]
    total, peak = 0, 0
    for change in held:
        total += change
        peak = max(peak, total)
    return peak


def steps_table(found: Batches, rounds: int) -> None:
    """Time and memory of the rules."""
    turns = contestants()
    assert_same_update(turns, found[0])
    times: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, contestant in turns.items():
            supply = iter(found)
            times[name].append(seconds(lambda c=contestant, s=supply: c.step(next(s)), len(found) - 1))
    print(f"\n{'ratio, median (range)':48} at most")
    for name, limit in (
        ("two backward passes, no decision", "-"),
        ("discard, all", "1.50"),
        ("discard, top 1 layer", "1.20"),
        ("discard, top 2 layers", "-"),
        ("discard, representation", "1.05"),
    ):
        print(ratio_line(f"{name} / CE", times[name], times["CE"], limit))
    for name, limit in (("torchjd, as documented", "0.90"), ("torchjd, tuned", "-")):
        print(ratio_line(f"discard, all / {name}", times["discard, all"], times[name], limit))
    peaks = {
        name: peak_bytes(lambda c=turns[name]: c.step(found[0])) for name in ("CE", "discard, all", "torchjd, tuned")
    }
    extra = sum(p.numel() * p.element_size() for p in turns["CE"].encoder.parameters())
    for name, limit in (("discard, all", "1.05"), ("torchjd, tuned", "-")):
        beyond = (peaks[name] - extra) / peaks["CE"]
        print(f"  {'peak memory: (' + name + ' - one gradient) / CE':46} {beyond:5.2f}  {limit}")
    found_peaks = ", ".join(f"{name} {peak / 1e6:.0f}" for name, peak in peaks.items())
    print(f"  (peaks in MB: {found_peaks}; a gradient {extra / 1e6:.0f})")


def assert_same_update(turns: dict[str, Contestant], batch: dict[str, Tensor]) -> None:
    """Ours and torchjd's gradients agree, or the comparison would be of different things."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    found = []
    for name in ("discard, all", "torchjd, tuned"):
        contestant = turns[name]
        torch.manual_seed(1)
        contestant.gradients(contestant.encoder(**inputs), batch["labels"])
        found.append([None if p.grad is None else p.grad.clone() for p in contestant.encoder.parameters()])
        contestant.optimizer.zero_grad()
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) == (theirs is None) or theirs.abs().max() == 0
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn, the first of which does not count")
    arguments = parser.parse_args()
    keep_freed_memory()
    found, source = batches(arguments.steps)
    shapes = [tuple(batch["input_ids"].shape) for batch in found]
    print(f"{source}, batches of {shapes}, {torch.get_num_threads()} threads")
    steps_table(found, arguments.rounds)


if __name__ == "__main__":
    main()
