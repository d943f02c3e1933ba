"""Time and memory of ACL-Grad by scope, relative to a CE step and to torchjd.

Run by `make bench`. All methods train MiniLM with six `mean_row` exits on the same padded batches of 32 (real RTE if
ACL_LIGHTNING_GLUE is set). Steps consist of forward pass, gradients, clipping and AdamW, without a trainer. The methods
run alternately in the same process; ratios are computed for each round, and their median and range are printed.
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

ACL_GRAD = "ACL-Grad, all parameters"


class Method:
    """A model, its optimiser, and a way to compute gradients."""

    def __init__(self, objective: Objective) -> None:
        torch.manual_seed(0)
        self.encoder = EncoderConfig().build(2)
        self.objective = objective
        self.optimizer, _ = build_optimizer(self.encoder.named_parameters(), OptimizationConfig(), 1000, fused=True)

    def gradients(self, outputs: ExitOutputs, labels: Tensor) -> None:
        """Compute the gradients and write them to `.grad`."""
        raise NotImplementedError

    def step(self, batch: dict[str, Tensor]) -> None:
        """Run forward pass, gradients, clipping and optimiser."""
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        self.gradients(self.encoder(**inputs), batch["labels"])
        nn.utils.clip_grad_norm_(self.encoder.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class WithGradientStep(Method):
    """Gradients by `GradientStep`."""

    def __init__(self, objective: Objective, rule: GradientRule, scope: Scope | None = None) -> None:
        super().__init__(objective)
        self.rule_step = GradientStep(rule, self.encoder.named_parameters(), scope)

    def gradients(self, outputs: ExitOutputs, labels: Tensor) -> None:
        """Run one or two backward passes, depending on the scope."""
        self.rule_step.add(list(self.objective(outputs, labels).values()), outputs.embeddings_EBD)
        self.rule_step.finish()


class TwoPasses(Method):
    """Two backward passes without a decision: a lower bound for ACL-Grad over all parameters."""

    def gradients(self, outputs: ExitOutputs, labels: Tensor) -> None:
        """Run two backward passes and write the first gradient."""
        parameters = list(self.encoder.parameters())
        first, _ = autograd_rows(list(self.objective(outputs, labels).values()), parameters)
        for parameter, gradient in zip(parameters, first, strict=True):
            parameter.grad = gradient


class _ACLGradWeights(Weighting):
    """Weights of ACL-Grad for torchjd: 1 for terms whose gradient does not conflict with the first term."""

    def forward(self, gramian: Tensor) -> Tensor:
        return (gramian[0] >= 0).to(gramian.dtype)


class TorchJD(Method):
    """The same update computed by torchjd, with its documented settings or tuned for a CPU.

    The tuned settings use a backward pass per row, which is faster on a CPU, and the optimised computation of the
    Gramian.
    """

    def __init__(self, objective: Objective, *, tuned: bool) -> None:
        super().__init__(objective)
        self.tuned = tuned
        self.aggregator = GramianWeightedAggregator(_ACLGradWeights())

    def gradients(self, outputs: ExitOutputs, labels: Tensor) -> None:
        """Compute the Jacobian and aggregate it into `.grad`."""
        parameters = list(self.encoder.parameters())
        terms = list(self.objective(outputs, labels).values())
        torchjd.autojac.backward(terms, inputs=parameters, parallel_chunk_size=1 if self.tuned else None)
        torchjd.autojac.jac_to_grad(parameters, self.aggregator, optimize_gramian_computation=self.tuned)


def methods() -> dict[str, Method]:
    """Return name -> method."""
    return {
        "CE": WithGradientStep(WeightedObjective(), Sum()),
        "two backward passes, no decision": TwoPasses(WeightedObjective(ACLEmbed())),
        ACL_GRAD: WithGradientStep(WeightedObjective(ACLEmbed()), ACLGrad()),
        "ACL-Grad, top 1 layer": WithGradientStep(WeightedObjective(ACLEmbed()), ACLGrad(), TopLayers(1)),
        "ACL-Grad, top 2 layers": WithGradientStep(WeightedObjective(ACLEmbed()), ACLGrad(), TopLayers(2)),
        "ACL-Grad, representation": WithGradientStep(WeightedObjective(ACLEmbed()), ACLGrad(), Representation()),
        "torchjd, as documented": TorchJD(WeightedObjective(ACLEmbed()), tuned=False),
        "torchjd, tuned": TorchJD(WeightedObjective(ACLEmbed()), tuned=True),
    }


def seconds(step: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call, after a warm-up call."""
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ratio_line(name: str, over: list[float], under: list[float], limit: str) -> str:
    """Line of a table: name, median ratio, range and limit."""
    ratios = sorted(a / b for a, b in zip(over, under, strict=True))
    return f"  {name:46} {statistics.median(ratios):5.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})  {limit}"


def peak_bytes(step: Callable[[], object]) -> int:
    """Largest increase of the memory of tensors during a call."""
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


def steps_table(data: Batches, rounds: int) -> None:
    """Print time and memory of the methods."""
    turns = methods()
    assert_same_update(turns, data[0])
    times: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, method in turns.items():
            supply = iter(data)
            times[name].append(seconds(lambda c=method, s=supply: c.step(next(s)), len(data) - 1))
    print(f"\n{'ratio, median (range)':48} at most")
    for name, limit in (
        ("two backward passes, no decision", "-"),
        (ACL_GRAD, "1.50"),
        ("ACL-Grad, top 1 layer", "1.20"),
        ("ACL-Grad, top 2 layers", "-"),
        ("ACL-Grad, representation", "1.05"),
    ):
        print(ratio_line(f"{name} / CE", times[name], times["CE"], limit))
    for name, limit in (("torchjd, as documented", "0.90"), ("torchjd, tuned", "-")):
        print(ratio_line(f"{ACL_GRAD} / {name}", times[ACL_GRAD], times[name], limit))
    peaks = {name: peak_bytes(lambda c=turns[name]: c.step(data[0])) for name in ("CE", ACL_GRAD, "torchjd, tuned")}
    extra = sum(p.numel() * p.element_size() for p in turns["CE"].encoder.parameters())
    for name, limit in ((ACL_GRAD, "1.05"), ("torchjd, tuned", "-")):
        beyond = (peaks[name] - extra) / peaks["CE"]
        print(f"  {'peak memory: (' + name + ' - one gradient) / CE':46} {beyond:5.2f}  {limit}")
    megabytes = ", ".join(f"{name} {peak / 1e6:.0f}" for name, peak in peaks.items())
    print(f"  (peaks in MB: {megabytes}; a gradient {extra / 1e6:.0f})")


def assert_same_update(turns: dict[str, Method], batch: dict[str, Tensor]) -> None:
    """Assert that the gradients of this package and of torchjd are equal."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    gradients = []
    for name in (ACL_GRAD, "torchjd, tuned"):
        method = turns[name]
        torch.manual_seed(1)
        method.gradients(method.encoder(**inputs), batch["labels"])
        gradients.append([None if p.grad is None else p.grad.clone() for p in method.encoder.parameters()])
        method.optimizer.zero_grad()
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours is None) == (theirs is None) or theirs.abs().max() == 0
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps per round, of which the first is a warm-up")
    arguments = parser.parse_args()
    keep_freed_memory()
    data, source = batches(arguments.steps)
    shapes = [tuple(batch["input_ids"].shape) for batch in data]
    print(f"{source}, batches of {shapes}, {torch.get_num_threads()} threads")
    steps_table(data, arguments.rounds)


if __name__ == "__main__":
    main()
