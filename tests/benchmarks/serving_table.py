"""Quality and measured speed of a trained model in every runtime, at each operating point.

Run by `make serving-table`, which trains the model first. `python -m tests.benchmarks.serving_table --run RUN
--packages DIR --out DIR` exports the run in fp32 and int8, unless the packages are there, and answers the report rows
of its validation data (SST-2: all of dev) with the plain Hugging Face model, the adaptive runtime on torch, full-depth
onnxruntime and both packages. Answers come in throughput mode; the runtimes without early exits get batches of 32 in
the order of the rows. All candidates run alternately in one process, and times do not include tokenisation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from acl_lightning.encoders import model_inputs
from acl_lightning.exits import Static
from acl_lightning.exits.inference import AdaptiveRuntime
from acl_lightning.export.onnx_package.package import export_package
from acl_lightning.figures import runtimes_figure
from acl_lightning.files import save_figure, write_text_atomically
from acl_lightning.latency import interleaved, plain_model, ratio
from acl_lightning.runs import load_run, read_result
from acl_lightning.runs.records import read_exit_logits
from acl_lightning.runs.records.tables import csv_text
from acl_lightning.serving import AdaptiveSession
from tests.benchmarks.provenance import provenance
from tests.benchmarks.serving_packages import reference, references

REFERENCE = "Hugging Face"
FULL_DEPTH = "full_depth"
BATCH = 32


@dataclass(frozen=True)
class Row:
    """A runtime at an operating point.

    Attributes:
        runtime: Name of the runtime.
        operating_point: Name of the operating point.
        criterion: Exit criterion; empty at full depth.
        threshold: Its threshold.
        accuracy: Share of right answers.
        mean_exit_layer: Mean layer at which samples leave.
        speedup: Time of the Hugging Face model over that of the runtime, median of the rounds.
        speedup_low: Smallest ratio of a round.
        speedup_high: Largest ratio of a round.
        rows_per_second: Samples per second, median of the rounds.
    """

    runtime: str
    operating_point: str
    criterion: str
    threshold: float | None
    accuracy: float
    mean_exit_layer: float
    speedup: float
    speedup_low: float
    speedup_high: float
    rows_per_second: float


@dataclass(frozen=True)
class Candidate:
    """Something to time: `answer` returns predicted classes and exit layers of all rows."""

    criterion: str
    threshold: float | None
    answer: Callable[[], tuple[np.ndarray, np.ndarray]]


def candidates(
    run: Path, packages: Path, threads: int, most: int
) -> tuple[dict[tuple[str, str], Candidate], np.ndarray]:
    """Return (runtime, operating point) -> candidate, and the labels of the rows, at most `most`."""
    module, data = load_run(run)
    stored, result = read_exit_logits(run), read_result(run).sweep_report
    encoder = module.encoder.eval().requires_grad_(False)
    rows = data.validation_rows(data.info.validation_splits[0])
    place_of = {index: place for place, index in enumerate(rows.columns["index"].tolist())}
    reported = (~stored.selection_B).nonzero()[:most, 0]
    places = [place_of[index] for index in stored.index_B[reported].tolist()]
    batches = [model_inputs(rows.__getitems__(places[at : at + BATCH])) for at in range(0, len(places), BATCH)]
    arrays = [{name: values.numpy() for name, values in batch.items()} for batch in batches]
    padded = {name: values.numpy() for name, values in model_inputs(rows.__getitems__(places)).items()}
    depth = np.full(len(places), encoder.depth)
    found: dict[tuple[str, str], Candidate] = {}

    plain = plain_model(data.tokenizer_source, encoder.num_labels, torch.device("cpu"))
    trained = AdaptiveRuntime(encoder, Static(), encoder.num_exits)

    def hugging_face() -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():  # its weights are random: the answers are those of the trained model at full depth
            for batch in batches:
                plain(**batch)
        return full_depth_answers, depth

    full_depth_answers = torch.cat([part.logits_BC for part in trained.stream(batches)]).argmax(dim=1).numpy()
    found[REFERENCE, FULL_DEPTH] = Candidate("", None, hugging_face)

    points = {FULL_DEPTH: (Static(), float(encoder.num_exits))}
    points |= {name: (point.criterion(), point.threshold) for name, point in result.recommended.items() if point.exit}
    for name, (criterion, threshold) in points.items():
        runtime = AdaptiveRuntime(encoder, criterion, threshold)

        def torch_answers(runtime: AdaptiveRuntime = runtime) -> tuple[np.ndarray, np.ndarray]:
            parts = list(runtime.stream(batches, "throughput"))
            logits_BC = torch.cat([part.logits_BC for part in parts])
            return logits_BC.argmax(dim=1).numpy(), torch.cat([part.exit_layer_B for part in parts]).numpy()

        described = ("", None) if name == FULL_DEPTH else (criterion.name, threshold)
        found["adaptive, torch fp32", name] = Candidate(*described, torch_answers)

    for precision in ("fp32", "int8"):
        folder = packages / "full_depth"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / f"plain_{precision}.onnx").is_file():
            references(encoder, folder, precision, threads)
        call = reference(folder / f"plain_{precision}.onnx", threads)

        def onnx_answers(call: Callable = call) -> tuple[np.ndarray, np.ndarray]:
            return np.concatenate([call(batch)[0] for batch in arrays]).argmax(axis=1), depth

        found[f"onnxruntime {precision}", FULL_DEPTH] = Candidate("", None, onnx_answers)
        package = packages / precision
        if not package.is_dir():
            export_package(run, package, precision, max_drop=2.0, threads=threads)
        session = AdaptiveSession(package, mode="throughput", threads=threads)
        for name in (FULL_DEPTH, *session.manifest.points):
            point = session.manifest.point(None if name == FULL_DEPTH else name)

            def package_answers(session: AdaptiveSession = session, name: str = name) -> tuple[np.ndarray, np.ndarray]:
                answers = session.decide(padded, operating_point=name)
                return answers.logits.argmax(axis=1), answers.exit_layers

            criterion = "" if name == FULL_DEPTH else str(point.criterion["name"])
            found[f"adaptive, onnx {precision}", name] = Candidate(criterion, point.threshold, package_answers)
    return found, stored.labels_B[reported].numpy()


def measure(run: Path, packages: Path, *, threads: int, rounds: int, most: int, cpu_time: bool) -> list[Row]:
    """Return a row per runtime and operating point, measured in turn."""
    found, labels = candidates(run, packages, threads, most)
    clock = time.process_time if cpu_time else time.perf_counter
    answers: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}

    def kept(key: tuple[str, str]) -> Callable[[], None]:
        def answer() -> None:
            answers[key] = found[key].answer()

        return answer

    seconds = interleaved({key: kept(key) for key in found}, rounds, clock=clock)
    rows = []
    for key, candidate in found.items():
        predicted, layers = answers[key]
        speed = ratio(seconds[REFERENCE, FULL_DEPTH], seconds[key])
        accuracy, layer = float((predicted == labels).mean()), float(layers.mean())
        rate = len(labels) / float(np.median(seconds[key]))
        rows.append(Row(*key, candidate.criterion, candidate.threshold, accuracy, layer, *speed, rate))
    return rows


def markdown(rows: list[Row], caption: str) -> str:
    """Return the table in Markdown with its caption."""
    lines = [
        caption,
        "",
        "| runtime | operating point | exits by | accuracy | mean exit layer | speed-up (range) | rows/s |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.runtime} | {row.operating_point.replace('_', ' ')} | "
        f"{f'{row.criterion} {row.threshold:.3g}' if row.criterion else 'none'} | {100 * row.accuracy:.1f} | "
        f"{row.mean_exit_layer:.2f} | {row.speedup:.2f} ({row.speedup_low:.2f}-{row.speedup_high:.2f}) | "
        f"{row.rows_per_second:.0f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def write(rows: list[Row], out: Path, task: str, conditions: dict[str, object]) -> None:
    """Write `serving.md`, `serving.csv`, `serving.png` and `provenance.json`."""
    out.mkdir(parents=True, exist_ok=True)
    threads = f"{conditions['threads']} thread{'s' if conditions['threads'] != 1 else ''}"
    clock = "processor time" if conditions["cpu_time"] else "time"
    caption = (
        f"{task}, {conditions['rows']} rows. Speed-up: {clock} of the Hugging Face model over that of the runtime, "
        f"{threads}, median of {conditions['rounds']} rounds, {conditions['device']}."
    )
    write_text_atomically(out / "serving.md", markdown(rows, caption))
    write_text_atomically(
        out / "serving.csv", csv_text(list(asdict(rows[0])), [list(asdict(r).values()) for r in rows])
    )
    write_text_atomically(out / "provenance.json", json.dumps(conditions, indent=2) + "\n")
    adaptive: dict[str, dict[str, tuple[float, float]]] = {}
    full_depth: dict[str, tuple[float, float]] = {}
    for row in rows:
        point = (row.speedup, row.accuracy)
        if row.runtime.startswith("adaptive"):
            adaptive.setdefault(row.runtime, {})[row.operating_point] = point
        else:
            full_depth[f"{row.runtime}, full depth"] = point
    figure = runtimes_figure(
        adaptive,
        full_depth,
        reference="the Hugging Face model",
        metric="accuracy",
        title=f"{task}: accuracy and measured speed on a CPU, {threads}",
    )
    save_figure(figure, out / "serving.png")


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="finished run")
    parser.add_argument("--packages", type=Path, required=True, help="directory of the packages; missing ones are made")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=10**9, help="largest number of rows (default: all)")
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of time, on a busy machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = measure(
        options.run,
        options.packages,
        threads=options.threads,
        rounds=options.rounds,
        most=options.rows,
        cpu_time=options.cpu_time,
    )
    count = min(options.rows, int((~read_exit_logits(options.run).selection_B).sum()))
    conditions = provenance("make serving-table", options.threads) | {
        "rounds": options.rounds,
        "cpu_time": options.cpu_time,
        "rows": count,
    }
    write(rows, options.out, (read_result(options.run).task or "own data").upper().replace("SST2", "SST-2"), conditions)
    print((options.out / "serving.md").read_text())


if __name__ == "__main__":
    main()
