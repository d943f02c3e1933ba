"""Speed-up of adaptive ONNX packages over full-depth onnxruntime of the same precision, on CPU threads.

`python -m tests.benchmarks.serving` prints medians of ratios over rounds in which all candidates run alternately in one
process. Two references are full depth: `plain`, the graph of `export --onnx` (for int8 quantized with the same
settings), and `fused`, the same model through the exporter of packages, which fuses attention. Rows with fixed exits:
32 x 128 random token ids without padding; single texts of 20 tokens; with ACL_LIGHTNING_GLUE set, the single texts are
sentences of SST-2 dev, and batches of 32 texts of SST-2 dev and pairs of RTE dev, in their order, follow. All samples
leave at the exit that a row names, and every exit before it is read.

`--run RUN` adds the rows on a trained model: throughput on the validation split at the operating point whose mean
layer is nearest to 3 (or `--point`), over full-depth onnxruntime fp32 and the Hugging Face model, load time and size.
`--backbone bert-base` takes a randomly initialised 12 x 768 encoder. `--out DIR` writes the rows as CSV, Markdown and
JSON. On two idle cores, `--threads 1 2` takes about 6 minutes, 3 more with `--run`, and 25 with `--backbone bert-base`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from transformers import AutoTokenizer

from acl_lightning.encoders import MultiExitEncoder
from acl_lightning.export.onnx_package.package import export_package
from acl_lightning.files import write_text_atomically
from acl_lightning.latency import interleaved, plain_model, ratio
from acl_lightning.latency.inputs import validation_batches
from acl_lightning.pretrained import resolve_pretrained
from acl_lightning.runs import load_run
from acl_lightning.runs.records.tables import csv_text
from acl_lightning.serving import AdaptiveSession, TokenBatch
from tests.benchmarks.provenance import provenance
from tests.benchmarks.serving_packages import MINILM, encoder_of, references, write_package

PRECISIONS = ("fp32", "int8")

START = "import sys; from acl_lightning.serving import AdaptiveSession as S; S(sys.argv[1], mode='latency')(['a film'])"


@dataclass(frozen=True)
class Row:
    """A measured number.

    Attributes:
        model: Backbone.
        threads: Number of threads of an operator.
        precision: Precision of the package.
        measured: What was measured.
        over: Name of the reference; empty for a number that is no ratio.
        median: Median of the rounds.
        low: Smallest number of a round.
        high: Largest number of a round.
        target: Number to reach; None: no target.
        most: Whether the target is an upper bound.
    """

    model: str
    threads: int
    precision: str
    measured: str
    over: str
    median: float
    low: float
    high: float
    target: float | None = None
    most: bool = False

    @property
    def missed(self) -> bool:
        """Whether the target is not reached."""
        if self.target is None:
            return False
        return self.median > self.target if self.most else self.median < self.target

    def text(self) -> str:
        """Line for the terminal."""
        over = f" over {self.over}" if self.over else ""
        target = "" if self.target is None else f"   at {'most' if self.most else 'least'} {self.target:.2f}"
        verdict = "   MISSED" if self.missed else ""
        name = f"{self.precision} {self.measured}{over}"
        return f"  {name:<72} {self.median:6.2f} ({self.low:.2f}-{self.high:.2f}){target}{verdict}"


@dataclass(frozen=True)
class Case:
    """Inputs with fixed exits: batches that are answered one after the other, `times` times."""

    name: str
    batches: list[dict[str, np.ndarray]]
    point: str
    targets: tuple[float | None, float | None]
    times: int = 1


def random_tokens(rows: int, length: int) -> dict[str, np.ndarray]:
    """Random token ids without padding."""
    ids = np.random.default_rng(0).integers(1000, 20000, (rows, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def texts_of(task: str, *columns: str) -> list[tuple[str, ...]]:
    """Texts of the dev split of a GLUE task; none if ACL_LIGHTNING_GLUE is not set."""
    root = os.environ.get("ACL_LIGHTNING_GLUE")
    if not root:
        return []
    with (Path(root) / task / "dev.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [tuple(row[column] for column in columns) for row in rows]


def tokenised(texts: list[tuple[str, ...]], size: int, most: int) -> list[dict[str, np.ndarray]]:
    """Batches of `size` texts, padded to their longest, at most `most` batches."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_pretrained(MINILM))
    parts = [texts[at : at + size] for at in range(0, len(texts), size)][:most]
    settings = {"truncation": True, "max_length": 128, "padding": True, "return_tensors": "np"}
    encoded = (tokenizer(*map(list, zip(*part, strict=True)), **settings) for part in parts)
    return [{name: values.astype(np.int64) for name, values in batch.items()} for batch in encoded]


def cases(num_exits: int) -> list[Case]:
    """The rows with fixed exits."""
    middle = num_exits // 2
    sentences, pairs = texts_of("SST-2", "sentence"), texts_of("RTE", "sentence1", "sentence2")
    singles = [batch for batch in tokenised(sentences, 1, 400) if batch["input_ids"].shape[1] == 20][:10]
    singles = singles or [random_tokens(1, 20)]
    many = [random_tokens(32, 128)]
    rows = [
        Case(f"32 x 128, leave at {middle}", many, f"at_{middle}", (2.2, 2.2)),
        Case(f"32 x 128, leave at {middle - 1}", many, f"at_{middle - 1}", (3.3, 3.3)),
        Case("32 x 128, nobody leaves, every exit read", many, "read_all", (0.95, 0.95)),
        Case(f"one text of 20 tokens, leave at {middle}", singles, f"at_{middle}", (1.7, 1.6), 5),
    ]
    if sentences and pairs:
        rows += [
            Case(
                f"32 sentences of SST-2, leave at {middle}", tokenised(sentences, 32, 2), f"at_{middle}", (None, None)
            ),
            Case(f"32 pairs of RTE, leave at {middle}", tokenised(pairs, 32, 1), f"at_{middle}", (None, None)),
        ]
    return rows


def repeated(call: Callable[[object], object], inputs: list, times: int) -> Callable[[], None]:
    """The call for each of the inputs, several times: single texts are timed as in a stream."""

    def run() -> None:
        for _ in range(times):
            for each in inputs:
                call(each)

    return run


def shapes(options: argparse.Namespace, directory: Path) -> Iterator[Row]:
    """Measure the rows with fixed exits."""
    encoder: MultiExitEncoder = encoder_of(options.backbone)
    for number, precision in enumerate(PRECISIONS):
        write_package(encoder, directory / precision, precision)
        for threads in options.threads:
            torch.set_num_threads(threads)
            calls = references(encoder, directory, precision, threads)
            session = AdaptiveSession(directory / precision, threads=threads)
            for case in cases(encoder.num_exits):
                tokens: list[TokenBatch] = [session.encoder.padded(batch) for batch in case.batches]
                candidates = {name: repeated(call, case.batches, case.times) for name, call in calls.items()}
                candidates["ours"] = repeated(
                    lambda batch, s=session, p=case.point: s.decide(batch, operating_point=p, mode="batch"),
                    tokens,
                    case.times,
                )
                seconds = interleaved(candidates, options.rounds, clock=options.clock)
                for name in calls:
                    target = case.targets[number] if (name, options.backbone) == ("plain", "minilm") else None
                    speed = ratio(seconds[name], seconds["ours"])
                    yield Row(options.backbone, threads, precision, case.name, name, *speed, target)


def trained(options: argparse.Namespace, directory: Path) -> Iterator[Row]:
    """Measure throughput on validation texts, load time and size of the int8 package of a run."""
    directory.mkdir()
    export_package(options.run, directory / "package", "int8", max_drop=2.0, threads=max(options.threads))
    module, data = load_run(options.run)
    batches = validation_batches(data, 32, 10**9)
    arrays = [{name: values.numpy() for name, values in batch.items()} for batch in batches]
    longest = max(batch["input_ids"].shape[1] for batch in arrays)
    padded = {
        name: np.concatenate([np.pad(batch[name], ((0, 0), (0, longest - batch[name].shape[1]))) for batch in arrays])
        for name in arrays[0]
    }
    model = plain_model(MINILM, module.encoder.num_labels, torch.device("cpu"))

    def hugging_face() -> None:
        with torch.no_grad():
            for batch in batches:
                model(**batch)

    encoder = module.encoder.eval().requires_grad_(False)
    for threads in options.threads:
        torch.set_num_threads(threads)
        plain = references(encoder, directory, "fp32", threads)["plain"]
        session = AdaptiveSession(directory / "package", mode="throughput", threads=threads)
        layers = {
            name: session.decide(padded, operating_point=name).exit_layers.mean() for name in session.manifest.points
        }
        point = options.point or min(layers, key=lambda name: abs(layers[name] - 3))
        seconds = interleaved(
            {
                "onnxruntime fp32": lambda call=plain: [call(batch) for batch in arrays],
                "Hugging Face": hugging_face,
                "ours": lambda s=session, p=point: s.decide(padded, operating_point=p),
            },
            min(options.rounds, 5),
            clock=options.clock,
        )
        name = f"throughput, trained, {point}, mean layer {layers[point]:.2f}"
        for over, target in (("onnxruntime fp32", 4.0), ("Hugging Face", 8.0)):
            yield Row("minilm", threads, "int8", name, over, *ratio(seconds[over], seconds["ours"]), target)
    starts = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", START, str(directory / "package")], check=True)
        starts.append(time.perf_counter() - start)
    low, median, high = sorted(starts)
    yield Row("minilm", 1, "int8", "seconds from start to first answer", "", median, low, high, 1.5, most=True)
    size = sum(path.stat().st_size for path in (directory / "package").iterdir())
    share = size / (4 * sum(parameter.numel() for parameter in module.encoder.parameters()))
    yield Row("minilm", 1, "int8", "size over the weights in fp32", "", share, share, share, 0.3, most=True)


def write(rows: list[Row], out: Path, options: argparse.Namespace) -> None:
    """Write `serving-MODEL.csv`, `.md` and `.json`."""
    out.mkdir(parents=True, exist_ok=True)
    conditions = provenance("python -m tests.benchmarks.serving", max(options.threads)) | {
        "rounds": options.rounds,
        "cpu_time": options.cpu_time,
    }
    stem = f"serving-{options.backbone}"
    header = [*asdict(rows[0]), "missed"]
    write_text_atomically(out / f"{stem}.csv", csv_text(header, [[*asdict(row).values(), row.missed] for row in rows]))
    content = {**conditions, "rows": [asdict(row) for row in rows]}
    write_text_atomically(out / f"{stem}.json", json.dumps(content, indent=2) + "\n")
    commit = (conditions["git"] or {}).get("commit", "unknown")
    lines = [
        f"{conditions['date']}, commit {str(commit)[:12]}, {conditions['device']}, {options.rounds} rounds"
        f"{', processor time' if options.cpu_time else ''}.",
        "",
        "| model | threads | precision | measured | over | ratio (range) | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        target = "" if row.target is None else f"{'at most' if row.most else 'at least'} {row.target:g}"
        lines.append(
            f"| {row.model} | {row.threads} | {row.precision} | {row.measured} | {row.over} "
            f"| {row.median:.2f} ({row.low:.2f}-{row.high:.2f}) | {target}{' (missed)' if row.missed else ''} |"
        )
    write_text_atomically(out / f"{stem}.md", "\n".join(lines) + "\n")


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--backbone", choices=["minilm", "bert-base"], default="minilm")
    parser.add_argument("--run", type=Path, help="finished run of MiniLM; adds the rows on a trained model")
    parser.add_argument("--point", help="operating point of these rows")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, on a busy machine; for one thread")
    parser.add_argument("--out", type=Path, help="directory of the rows as CSV, Markdown and JSON")
    options = parser.parse_args()
    if options.cpu_time and options.threads != [1]:
        parser.error("--cpu-time adds up the time of all threads; set --threads 1")
    options.clock = time.process_time if options.cpu_time else time.perf_counter
    print(f"{options.backbone}, onnxruntime {onnxruntime.__version__}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        parts = [shapes(options, Path(directory))]
        if options.run is not None:
            parts.append(trained(options, Path(directory) / "trained"))
        for part in parts:
            for row in part:
                print(f"{row.threads} thread(s) {row.text()}", flush=True)
                rows.append(row)
                if options.out is not None:
                    write(rows, options.out, options)


if __name__ == "__main__":
    main()
