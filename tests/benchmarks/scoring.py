"""Rows per second of `score` over the text-classification pipeline of transformers, with MiniLM on real sentences.

`ACL_LIGHTNING_GLUE=DIR python -m tests.benchmarks.scoring` answers the sentences of the validation split of SST-2 in
their order. The pipeline runs the plain Hugging Face model at full depth in batches of 32. `score` runs a package with
random heads whose samples all leave at layer 3 of 6, where the ratio of layers is 2, and reads and writes CSV. All
candidates run alternately in one process; times include tokenisation, but not the start.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline

from acl_lightning.cli.deploy.score import main as score_command
from acl_lightning.latency import interleaved, ratio
from acl_lightning.pretrained import resolve_pretrained
from tests.benchmarks.serving_packages import MINILM, encoder_of, write_package

TARGET = 5.0


def sentences(root: Path) -> list[str]:
    """Sentences of the validation split of SST-2, in their order."""
    with (root / "SST-2/dev.tsv").open(encoding="utf-8", newline="") as file:
        return [row["sentence"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts = sentences(Path(os.environ["ACL_LIGHTNING_GLUE"]))
    plain = BertForSequenceClassification.from_pretrained(resolve_pretrained(MINILM), num_labels=2).eval()
    tokenizer = AutoTokenizer.from_pretrained(resolve_pretrained(MINILM))
    classify = pipeline("text-classification", model=plain, tokenizer=tokenizer, device="cpu", batch_size=32)
    encoder = encoder_of("minilm")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        source = directory / "sentences.csv"
        with source.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["sentence"], *([text] for text in texts)])

        def scored(precision: str) -> None:
            command = [str(directory / precision), "--input", str(source), "--output", str(directory / "scores.csv")]
            command += ["--operating-point", "at_3", "--overwrite", "--threads", str(options.threads)]
            with redirect_stdout(io.StringIO()):
                score_command(command)

        for precision in ("fp32", "int8"):
            write_package(encoder, directory / precision, precision)
        candidates = {
            "pipeline": lambda: classify(texts),
            "fp32": lambda: scored("fp32"),
            "int8": lambda: scored("int8"),
        }
        seconds = interleaved(candidates, options.rounds)
    print(f"{len(texts)} sentences, {options.threads} thread(s)")
    for name, times in seconds.items():
        print(f"  {name}: {len(texts) / sorted(times)[len(times) // 2]:.0f} rows/s")
    for precision in ("fp32", "int8"):
        median, low, high = ratio(seconds["pipeline"], seconds[precision])
        verdict = "" if precision == "fp32" or median >= TARGET else "   MISSED"
        target = "" if precision == "fp32" else f"   at least {TARGET:.0f}"
        print(f"  score {precision} over the pipeline: {median:.2f} ({low:.2f}-{high:.2f}){target}{verdict}")


if __name__ == "__main__":
    main()
