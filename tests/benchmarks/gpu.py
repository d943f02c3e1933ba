"""Ratios on a GPU: training steps, host synchronisations, and the adaptive runtime. Run by `make gpu-check`.

All variants are measured alternately in the same process; a ratio is the median over rounds, with the range. With
`quick=True` the sizes are small, to test the script itself on the CPU.
"""

from __future__ import annotations

import collections
import statistics
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from acl_lightning.encoders import EncoderConfig
from acl_lightning.exits import Confidence, Static, from_config
from acl_lightning.gradients import ACLGrad, BatchedRows
from acl_lightning.latency import plain_model
from acl_lightning.latency.inputs import validation_batches
from acl_lightning.latency.point_times import PointTime, measure
from acl_lightning.objectives import ACLEmbed, WeightedObjective
from acl_lightning.runs import load_run, read_result
from acl_lightning.training.module import ACLModule
from acl_lightning.training.optimization import OptimizationConfig
from tests.benchmarks.training import MINILM, _Batches, batches, hugging_face, ours

BATCH_SIZES = (1, 32, 256)
PLAIN = "transformers.Trainer, plain model"
ONE_EXIT = "CE, one exit (cls)"
CE = "CE, six exits (mean_row)"
ACL_GRAD = "ACL-Grad, six exits (mean_row)"
BATCHED = "ACL-Grad with BatchedRows, six exits (mean_row)"
#: Numerator and denominator of each reported ratio.
RATIOS = ((ONE_EXIT, PLAIN), (CE, PLAIN), (ACL_GRAD, CE), (BATCHED, CE))


def module(**settings: Any) -> ACLModule:
    """MiniLM for a task with two classes."""
    settings = {"encoder": EncoderConfig()} | settings
    optimization = OptimizationConfig(learning_rate=5e-5)
    return ACLModule(optimization=optimization, label_names=["a", "b"], metric_names=["accuracy"], **settings)


def acl(**settings: Any) -> ACLModule:
    """MiniLM trained with ACL-Embed and ACL-Grad."""
    return module(objective=WeightedObjective(ACLEmbed()), gradient_rule=ACLGrad(), **settings)


def accelerator_of(device: torch.device) -> str:
    """Name of a device in Lightning."""
    return "gpu" if device.type == "cuda" else "cpu"


def training_steps(device: torch.device, precision: str, *, quick: bool) -> dict[str, Any]:
    """Milliseconds per step and the `RATIOS`, for batches of 32 sentence pairs of RTE."""
    data, source = batches(4 if quick else 25)
    if quick:
        data = [{name: rows[:4, :32] if rows.dim() > 1 else rows[:4] for name, rows in batch.items()} for batch in data]
    where = accelerator_of(device), precision
    turns = {
        PLAIN: hugging_face(use_cpu=device.type == "cpu", bf16=precision == "bf16-mixed"),
        ONE_EXIT: ours(module(encoder=EncoderConfig(exits=[6], exit_row="cls")), *where),
        CE: ours(module(), *where),
        ACL_GRAD: ours(acl(), *where),
        BATCHED: ours(acl(gradient_collector=BatchedRows()), *where),
    }
    rounds = [{name: statistics.median(turn(data)) for name, turn in turns.items()} for _ in range(1 if quick else 5)]
    return {
        "data": f"{source}, batches of {list(data[0]['input_ids'].shape)}",
        "milliseconds": {name: round(1000 * statistics.median(times[name] for times in rounds), 3) for name in turns},
        "ratios": {
            f"{over} / {under}": _spread([times[over] / times[under] for times in rounds]) for over, under in RATIOS
        },
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
    }


class _Synchronisations(pl.Callback):
    """Counts the places where the host waits for the device, after the first `skip` steps."""

    def __init__(self, skip: int) -> None:
        self.skip = skip
        self.steps = 0
        self.places: collections.Counter[str] = collections.Counter()
        self._catcher: Any = None

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step >= self.skip:
            self._catcher = warnings.catch_warnings(record=True)
            self._caught = self._catcher.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")

    def on_train_batch_end(self, *_: Any) -> None:
        if self._catcher is None:
            return
        torch.cuda.set_sync_debug_mode("default")
        for warning in self._caught:
            if "synchronizing" in str(warning.message):
                self.places[f"{Path(warning.filename).name}:{warning.lineno}"] += 1
        self._catcher.__exit__(None, None, None)
        self._catcher, self.steps = None, self.steps + 1


def synchronisations(device: torch.device, *, quick: bool) -> dict[str, Any]:
    """Host synchronisations per step of CE and ACL-Grad, and the lines of code that cause them.

    The transfer of the batch before the step is not counted.
    """
    if device.type != "cuda":
        return {"skipped": "only a CUDA device reports synchronisations"}
    data, _ = batches(5 if quick else 20)
    counted = {}
    for name, model in ((CE, module()), (ACL_GRAD, acl()), (BATCHED, acl(gradient_collector=BatchedRows()))):
        counter = _Synchronisations(skip=3)
        trainer = pl.Trainer(
            accelerator="gpu", devices=1, precision="bf16-mixed", max_epochs=1, logger=False, callbacks=[counter],
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(model, datamodule=_Batches(data))
        steps = max(1, counter.steps)
        counted[name] = {
            "per_step": round(counter.places.total() / steps, 2),
            "places": {place: round(count / steps, 2) for place, count in counter.places.most_common(8)},
        }
    return counted


def runtime(device: torch.device, run: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Speed-up of the adaptive runtime over the plain model, both in bfloat16, for batches of 1, 32 and 256 texts.

    Args:
        device: Where both run.
        run: A finished run; its texts are timed and its recommended points are used, beside a static exit and a
            threshold at which nobody leaves early.
        quick: Few rows and rounds.
    """
    trained, data = load_run(run)
    dtype = torch.bfloat16
    encoder = trained.encoder.to(device, dtype)
    plain = plain_model(MINILM, trained.num_labels, device).to(dtype)
    points: dict[str, Any] = {
        "static, layer 3": (Static(), 3.0),
        "nobody leaves early": (Confidence(), 1.0),
        **_recommended(run),
    }
    rows = []
    for size in BATCH_SIZES:
        texts = validation_batches(data, size, 32 if quick else max(64, 2 * size))
        batched = [{name: values.to(device) for name, values in batch.items()} for batch in texts]
        measured = measure(encoder, plain, points, batched, modes=["batch"], repeats=1 if quick else 15)
        rows += [_row(size, point) for point in measured]
    return rows


def _row(batch_size: int, point: PointTime) -> dict[str, Any]:
    return {
        "batch_size": batch_size,
        "point": point.name,
        "mean_exit_layer": round(point.mean_exit_layer, 2),
        "layer_speedup": round(point.layer_speedup, 2),
        "measured_speedup": {name: round(value, 3) for name, value in point.measured_speedup._asdict().items()},
        "milliseconds_per_sample": round(point.milliseconds.median, 4),
    }


def _recommended(run: Path) -> dict[str, Any]:
    points = read_result(run).points
    return {name: (from_config(point["exit"]), point["threshold"]) for name, point in points.items()}
