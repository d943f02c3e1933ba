"""Step time and memory of each objective and gradient rule, relative to a step on cross-entropy.

Run by `make cost-table`. All methods train MiniLM with an exit at every layer on the same padded batches of 32 (real
RTE if ACL_LIGHTNING_GLUE is set). A step is forward pass, gradients, clipping and AdamW, without a trainer. The methods
run alternately in one process; ratios are computed for each round, and their median and range are written.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from acl_lightning.files import replaced_atomically, write_text_atomically
from acl_lightning.gradients import ACLGrad, PerLayer, ProtectedPCGrad, Representation, Sum, TopLayers
from acl_lightning.objectives import (
    ACFObjective,
    ACLCrossLayerObjective,
    ACLObjective,
    CrossEntropyObjective,
    SCLObjective,
    SelfDistillationObjective,
)
from acl_lightning.runs.provenance import device_name, git_state, versions
from acl_lightning.training.allocator import keep_freed_memory
from tests.benchmarks.rules import WithGradientStep, peak_bytes, seconds
from tests.benchmarks.training import batches

Step = Callable[[dict[str, Tensor]], None]

BASELINE = "CE"


@dataclass(frozen=True)
class Cost:
    """Cost of a method relative to `BASELINE`.

    Attributes:
        method: Objective and gradient rule.
        time_ratio: Median over the rounds of its step time over that of the baseline in the same round.
        time_ratio_min: Smallest ratio of a round.
        time_ratio_max: Largest ratio of a round.
        step_ms: Median step time in milliseconds.
        memory_ratio: Peak memory of a step over that of the baseline.
    """

    method: str
    time_ratio: float
    time_ratio_min: float
    time_ratio_max: float
    step_ms: float
    memory_ratio: float


def methods() -> dict[str, WithGradientStep]:
    """Return name -> method, the baseline first."""
    return {
        BASELINE: WithGradientStep(CrossEntropyObjective(), Sum()),
        "CE + SCL": WithGradientStep(SCLObjective(), Sum()),
        "ACF": WithGradientStep(ACFObjective(), Sum()),
        "self-distillation": WithGradientStep(SelfDistillationObjective(), Sum()),
        "ACL-Embed, sum": WithGradientStep(ACLObjective(), Sum()),
        "ACL: ACL-Embed, ACL-Grad": WithGradientStep(ACLObjective(), ACLGrad()),
        "ACL, per layer": WithGradientStep(ACLObjective(), ACLGrad(), PerLayer()),
        "ACL, top layer": WithGradientStep(ACLObjective(), ACLGrad(), TopLayers(1)),
        "ACL, representation": WithGradientStep(ACLObjective(), ACLGrad(), Representation()),
        "ACL-Embed, protected PCGrad": WithGradientStep(ACLObjective(), ProtectedPCGrad()),
        "ACL-CL, sum": WithGradientStep(ACLCrossLayerObjective(), Sum()),
        "ACL-CL, ACL-Grad": WithGradientStep(ACLCrossLayerObjective(), ACLGrad()),
    }


def measure(data: list[dict[str, Tensor]], rounds: int, device: torch.device) -> list[Cost]:
    """Return the cost of each method on the same batches.

    Args:
        data: Batches; the first is a warm-up.
        rounds: Number of times that all methods run.
        device: Device of the models and batches.
    """
    steps: dict[str, Step] = {}
    for name, method in methods().items():
        method.encoder.to(device)
        steps[name] = _synchronised(method.step, device)
    data = [{name: value.to(device) for name, value in batch.items()} for batch in data]
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            supply = iter(data)
            times[name].append(seconds(lambda step=step, supply=supply: step(next(supply)), len(data) - 1))
    peaks = {name: _peak(lambda step=step: step(data[0]), device) for name, step in steps.items()}
    costs = []
    for name in steps:
        ratios = [a / b for a, b in zip(times[name], times[BASELINE], strict=True)]
        costs.append(
            Cost(
                name,
                round(statistics.median(ratios), 3),
                round(min(ratios), 3),
                round(max(ratios), 3),
                round(1000 * statistics.median(times[name]), 1),
                round(peaks[name] / peaks[BASELINE], 3),
            )
        )
    return costs


def _synchronised(step: Step, device: torch.device) -> Step:
    def timed(batch: dict[str, Tensor]) -> None:
        step(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return timed


def _peak(step: Callable[[], object], device: torch.device) -> int:
    if device.type != "cuda":
        return peak_bytes(step)
    torch.cuda.reset_peak_memory_stats(device)
    step()
    return torch.cuda.max_memory_allocated(device)


def markdown(costs: list[Cost], caption: str) -> str:
    """Return the table in Markdown with its caption."""
    lines = [
        caption,
        "",
        f"| method | step time / {BASELINE}, median (range) | step, ms | peak memory / {BASELINE} |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {c.method} | {c.time_ratio:.2f} ({c.time_ratio_min:.2f}-{c.time_ratio_max:.2f}) | {c.step_ms:.0f} "
        f"| {c.memory_ratio:.2f} |"
        for c in costs
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table, and write it as Markdown and CSV with its provenance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps per round, of which the first is a warm-up")
    parser.add_argument("--out", type=Path, help="directory of cost.md, cost.csv and provenance.json")
    arguments = parser.parse_args()
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data, source = batches(arguments.steps)
    costs = measure(data, arguments.rounds, device)
    shapes = ", ".join("x".join(map(str, batch["input_ids"].shape)) for batch in data)
    caption = (
        f"{source}, batches of {shapes} tokens, MiniLM-L6 with six exits, {device_name(device)}, "
        f"{torch.get_num_threads()} threads, {arguments.rounds} rounds."
    )
    table = markdown(costs, caption)
    print(table)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_text_atomically(arguments.out / "cost.md", table)
        _write_csv(arguments.out / "cost.csv", costs)
        provenance = {
            "command": "make cost-table",
            "device": device_name(device),
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            "versions": versions(),
            "git": git_state(),
        }
        write_text_atomically(arguments.out / "provenance.json", json.dumps(provenance, indent=2) + "\n")


def _write_csv(path: Path, costs: list[Cost]) -> None:
    with replaced_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(costs[0])))
        writer.writeheader()
        writer.writerows(asdict(cost) for cost in costs)


if __name__ == "__main__":
    main()
