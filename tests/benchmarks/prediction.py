"""Rows per second of `predict` over the text-classification pipeline of transformers, with MiniLM on real sentences.

`ACL_LIGHTNING_GLUE=DIR python -m tests.benchmarks.prediction` answers the sentences of `tests.benchmarks.scoring`. The
pipeline runs the plain Hugging Face model at full depth on a list of texts: in batches of 32, and with its default, a
sentence at a time. `predict` runs MiniLM with random heads whose samples all leave at layer 3 of 6, where the ratio of
layers is 2, and reads and writes CSV, in batches of `data.eval_batch_size` rows or of `data.max_tokens_per_batch`
tokens. All candidates run alternately in one process; times include tokenisation, but not loading the models.
"""

from __future__ import annotations

import argparse
import csv
import io
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import lightning.pytorch as pl
import torch
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline

from acl_lightning.callbacks import AdaptivePrediction
from acl_lightning.data import TableDataModule
from acl_lightning.encoders import EncoderConfig
from acl_lightning.exits import Static
from acl_lightning.latency import interleaved, ratio
from acl_lightning.pretrained import resolve_pretrained
from acl_lightning.training.module import ACLModule
from tests.benchmarks.scoring import TARGET, sentences
from tests.benchmarks.serving import MINILM

#: Name -> settings of the section `data`.
BATCHES = {
    "predict, default batches": {},
    "predict, max_tokens_per_batch=1024": {"max_tokens_per_batch": 1024},
}


def prediction(source: Path, directory: Path, exit_row: str, settings: dict) -> Callable[[], None]:
    """Return a function that predicts the rows of a CSV file into a CSV file."""
    labels = ["negative", "positive"]
    data = TableDataModule(
        train=str(source), predict=str(source), text="sentence", label_names=labels, tokenizer=MINILM, **settings
    )
    torch.manual_seed(0)
    module = ACLModule(EncoderConfig(backbone=MINILM, exit_row=exit_row), label_names=labels)

    def predict() -> None:
        trainer = pl.Trainer(
            accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=directory,
            callbacks=[AdaptivePrediction(Static(), 3.0, output="predictions.csv")],
        )  # fmt: skip
        with redirect_stdout(io.StringIO()):
            trainer.predict(module, datamodule=data, return_predictions=False)

    return predict


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, help="number of sentences; all by default")
    parser.add_argument("--exit-row", default="mean_row")
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of time, on a busy machine")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    texts = sentences(Path(os.environ["ACL_LIGHTNING_GLUE"]))[: options.rows]
    plain = BertForSequenceClassification.from_pretrained(resolve_pretrained(MINILM), num_labels=2).eval()
    tokenizer = AutoTokenizer.from_pretrained(resolve_pretrained(MINILM))
    candidates: dict[str, Callable[[], object]] = {}
    for name, size in (("pipeline, batch_size=32", 32), ("pipeline, its default (batch_size=1)", 1)):
        classify = pipeline("text-classification", model=plain, tokenizer=tokenizer, device="cpu", batch_size=size)
        candidates[name] = lambda classify=classify: classify(texts)
    references = list(candidates)
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "sentences.csv")
        with source.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["sentence"], *([text] for text in texts)])
        for batches, settings in BATCHES.items():
            candidates[batches] = prediction(source, Path(name, "run"), options.exit_row, settings)
        seconds = interleaved(candidates, options.rounds, clock=clock)
    machine = f"{options.threads} thread(s), load {os.getloadavg()[0]:.1f}, {clock.__name__}"
    print(f"{len(texts)} sentences, {options.exit_row}, {machine}")
    for name, times in seconds.items():
        print(f"  {name:40} {len(texts) / sorted(times)[len(times) // 2]:5.0f} rows/s")
    for reference in references:
        print(f"over {reference}")
        for name in BATCHES:
            median, low, high = ratio(seconds[reference], seconds[name])
            print(f"  {name:40} {median:5.2f} ({low:.2f}-{high:.2f})   at least {TARGET:.0f}")


if __name__ == "__main__":
    main()
