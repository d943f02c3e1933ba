"""Tokens per second of training: length-grouped batches relative to `transformers.Trainer`. Run by `make bench`.

The plain MiniLM with one head is trained on the same rows (real RTE if ACL_LIGHTNING_GLUE is set, generated pairs
otherwise) in batches of 32 that are padded to their longest row: by Lightning with `LengthGrouped`, and by
`transformers.Trainer` with its sampling strategy `group_by_length` and with its default, random batches. The methods
train an epoch each, alternately in the same process. Tokens are those of the texts, without padding; the time includes
loading, optimiser, clipping, schedule and the training loops, but not the first two steps.
"""

from __future__ import annotations

import argparse
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
from datasets import Dataset

from acl_lightning.data import GLUEDataModule
from acl_lightning.data.batches import LengthGrouped
from acl_lightning.encoders import EncoderConfig
from acl_lightning.pretrained import resolve_pretrained
from acl_lightning.training.module import ACLModule
from acl_lightning.training.optimization import OptimizationConfig
from tests.benchmarks.training import MINILM, WARM_UP

BATCH = 32
KEPT = ("input_ids", "token_type_ids", "labels")
OURS, GROUPED, RANDOM = (
    "LengthGrouped",
    "transformers.Trainer, group_by_length",
    "transformers.Trainer, default sampler",
)


#: Function that returns the present time in seconds.
clock: Callable[[], float] = time.perf_counter


class _Meter:
    """Tokens and time of the steps after the warm-up."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.ticks: list[float] = []

    def rate(self) -> float:
        """Return the tokens per second."""
        return sum(self.tokens[WARM_UP:]) / (self.ticks[-1] - self.ticks[WARM_UP - 1])


class _Callback(_Meter, pl.Callback):
    def on_train_batch_end(self, trainer: object, module: object, outputs: object, batch: dict, *_: object) -> None:
        self.tokens.append(int(batch["attention_mask"].sum()))
        self.ticks.append(clock())


class _HuggingFaceCallback(transformers.TrainerCallback, _Meter):
    def __init__(self) -> None:
        _Meter.__init__(self)

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ticks.append(clock())


class _Trainer(transformers.Trainer):
    """Counts the tokens of every batch."""

    def training_step(self, model: torch.nn.Module, inputs: dict, *rest: object) -> torch.Tensor:
        self.meter.tokens.append(int(inputs["attention_mask"].sum()))
        return super().training_step(model, inputs, *rest)


def ours(data: GLUEDataModule) -> Callable[[], float]:
    """Return a function that trains with length-grouped batches and returns the tokens per second."""
    module = ACLModule(
        EncoderConfig(exits=[6], exit_row="cls"),
        optimization=OptimizationConfig(learning_rate=5e-5),
        label_names=data.label_names,
        metric_names=data.metrics,
    )

    def turn() -> float:
        meter = _Callback()
        trainer = pl.Trainer(
            accelerator="cpu", devices=1, max_epochs=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0, use_distributed_sampler=False,
            callbacks=[meter],
        )  # fmt: skip
        trainer.fit(module, datamodule=data)
        return meter.rate()

    return turn


def hugging_face(rows: Dataset, strategy: str) -> Callable[[], float]:
    """Return a function that trains with a sampling strategy of `transformers.Trainer`."""
    directory = resolve_pretrained(MINILM)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(directory, num_labels=2)
    collate = transformers.DataCollatorWithPadding(transformers.AutoTokenizer.from_pretrained(directory))

    def turn() -> float:
        meter = _HuggingFaceCallback()
        with tempfile.TemporaryDirectory() as output:
            settings = transformers.TrainingArguments(
                output_dir=output, num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=5e-5,
                weight_decay=0.01, max_grad_norm=1.0, report_to=[], save_strategy="no", logging_strategy="no",
                disable_tqdm=True, use_cpu=True, train_sampling_strategy=strategy,
            )  # fmt: skip
            trainer = _Trainer(model=model, args=settings, train_dataset=rows, data_collator=collate, callbacks=[meter])
            trainer.meter = meter
            trainer.remove_callback(transformers.PrinterCallback)
            trainer.train()
        return meter.rate()

    return turn


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=640, help="training rows of an epoch")
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of time, on a busy machine")
    arguments = parser.parse_args()
    if arguments.cpu_time:
        global clock  # noqa: PLW0603
        clock = time.process_time
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    root = os.environ.get("ACL_LIGHTNING_GLUE")
    data = GLUEDataModule(
        "rte", source="local" if root else "synthetic", root=root, tokenizer=MINILM, batch_size=BATCH,
        train_rows=arguments.rows, batches=LengthGrouped(),
    )  # fmt: skip
    encoded = data.rows("train")
    rows = Dataset.from_list(
        [
            {name: values.tolist() for name, values in encoded[row].items() if name in KEPT}
            for row in range(len(encoded))
        ]
    )
    turns = {
        OURS: ours(data),
        GROUPED: hugging_face(rows, "group_by_length"),
        RANDOM: hugging_face(rows, "random"),
    }
    source = "real RTE" if root else "generated RTE"
    machine = f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, {clock.__name__}"
    print(f"{len(rows)} rows of {source}, {machine}")
    rounds = [{name: turn() for name, turn in turns.items()} for _ in range(arguments.rounds)]
    print(f"\n{f'tokens a second, median of {arguments.rounds} rounds':46}")
    for name in turns:
        print(f"  {name:44} {statistics.median(r[name] for r in rounds):.0f}")
    print(f"\n{'ratio, median (range)':46} at least")
    for under, limit in ((GROUPED, "1.0"), (RANDOM, "1.3")):
        ratios = sorted(r[OURS] / r[under] for r in rounds)
        print(
            f"  {OURS} / {under}\n{'':46} {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})  {limit}"
        )


if __name__ == "__main__":
    main()
