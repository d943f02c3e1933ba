"""Load test of the HTTP service on this machine: a package against the same service with the full-depth graph.

`python -m tests.benchmarks.http --run RUN` needs ACL_LIGHTNING_GLUE. It exports the int8 package of a run on SST-2, and
a package of its full-depth int8 graph alone, and serves each in a process with one thread of the model. In rounds, 32
clients send the sentences of the validation split to one service and then to the other, one text per request, each the
next when the last is answered. Afterwards many more clients than the queue has places send requests at once: each must
get one answer, either 200 with the label of its own text, or 429.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from statistics import median

import numpy as np

HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def sentences() -> list[str]:
    """The sentences of the validation split of SST-2."""
    root = os.environ.get("ACL_LIGHTNING_GLUE") or sys.exit("ACL_LIGHTNING_GLUE must name the official GLUE files")
    rows = (Path(root) / "SST-2/dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [row.rpartition("\t")[0] for row in rows]


def write_packages(run: Path, directory: Path) -> None:
    """Write the package and its full-depth reference, unless they are there."""
    import onnx

    from acl_lightning.encoders import MODEL_INPUTS
    from acl_lightning.export.onnx_graph import example_batch
    from acl_lightning.export.onnx_package.graphs import converted, segment_graph
    from acl_lightning.export.onnx_package.package import export_package
    from acl_lightning.export.onnx_package.segments import Segment, example_inputs
    from acl_lightning.runs import load_run
    from tests.benchmarks.serving_packages import single_exit

    if not (directory / "adaptive").is_dir():
        export_package(run, directory / "adaptive", "int8", max_drop=2.0)
    encoder = load_run(run)[0].encoder.eval().requires_grad_(False)
    content = json.loads((directory / "adaptive/manifest.json").read_text())
    if not (directory / "full_depth").is_dir():
        whole = Segment(single_exit(encoder), 0, "row_first", MODEL_INPUTS).eval()
        graph = converted(segment_graph(whole, example_inputs([whole], example_batch([3, 2]))[0]), "int8")
        reference = directory / "full_depth"
        reference.mkdir()
        onnx.save(graph, reference / "full_depth.onnx")
        (reference / "tokenizer.json").write_bytes((directory / "adaptive/tokenizer.json").read_bytes())
        segments = {variant: ["full_depth.onnx"] for variant in content["segments"]}
        content |= {"exit_layers": content["exit_layers"][-1:], "segments": segments, "operating_points": {}}
        content |= {"recommended_point": None, "temperatures": None, "files": {}, "inputs": list(MODEL_INPUTS)}
        (reference / "manifest.json").write_text(json.dumps(content))


@contextmanager
def service(package: Path, *options: str) -> Iterator[int]:
    """Serve a package in a process of its own; gives the port."""
    command = [sys.executable, "-m", "acl_lightning", "serve", str(package), "--port=0", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield int(re.match(r"http://127.0.0.1:(\d+),", process.stdout.readline())[1])
        finally:
            process.terminate()


async def request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str) -> tuple[int, dict]:
    """Send a text on an open connection; return status and content of the response."""
    body = json.dumps({"texts": text}).encode()
    writer.write(HEAD % len(body) + body)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    return int(head.split(b" ", 2)[1]), json.loads(await reader.readexactly(length))


async def load(port: int, texts: Sequence[str], clients: int, seconds: float) -> list[float]:
    """Send requests from several clients for some seconds; return the time of each in milliseconds."""
    remaining = cycle(texts)
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := time.perf_counter()) < end:
            status, _ = await request(reader, writer, next(remaining))
            assert status == 200, status
            times.append(1000 * (time.perf_counter() - start))
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return times


async def overload(port: int, texts: Sequence[str]) -> tuple[list[int], list[dict]]:
    """Send all texts at once, each on a connection of its own."""

    async def client(text: str) -> tuple[int, dict]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        status, content = await request(reader, writer, text)
        with suppress(TimeoutError):
            extra = await asyncio.wait_for(reader.read(1), 0.5)
            sys.exit(f"found {extra!r} after the answer")
        writer.close()
        return status, content

    answers = await asyncio.gather(*map(client, texts))
    return [status for status, _ in answers], [content for _, content in answers]


def compare(packages: Sequence[Path], texts: Sequence[str], options: argparse.Namespace) -> None:
    """Print requests per second and latencies of both services, and their ratios."""
    rates: list[list[float]] = [[], []]
    times: list[list[float]] = [[], []]
    threads = f"--threads={options.threads}"
    with (
        service(packages[0], threads, f"--operating-point={options.point}") as ours,
        service(packages[1], threads) as full,
    ):
        for round_ in range(options.rounds + 1):
            for which, port in enumerate((ours, full)):
                measured = asyncio.run(load(port, texts, options.clients, options.seconds))
                if round_:  # the first warms up
                    rates[which].append(len(measured) / options.seconds)
                    times[which] += measured
    tails = []
    for which, name in enumerate((options.point, "full depth")):
        p50, p95, p99 = np.percentile(times[which], (50, 95, 99))
        tails.append(p99)
        rate = median(rates[which])
        print(f"  {name:<12} {rate:7.1f} requests/s   p50 {p50:6.1f}   p95 {p95:6.1f}   p99 {p99:6.1f} ms", flush=True)
    ratio = median(a / b for a, b in zip(*rates, strict=True))
    verdict = "" if ratio >= 1.5 and tails[0] <= tails[1] else "   MISSED"
    tail = tails[0] / tails[1]
    print(f"  over full depth: requests/s {ratio:.2f}   at least 1.50; p99 {tail:.2f}   at most 1.00{verdict}")


def check_overload(package: Path, texts: Sequence[str], point: str) -> None:
    """Print how many of 400 simultaneous requests are answered; fail if one is lost or gets the answer of another."""
    from acl_lightning.serving import AdaptiveSession

    chosen = list(texts[:400])
    expected = AdaptiveSession(package, point, "latency")(chosen)
    with service(package, f"--operating-point={point}", "--queue=64", "--connections=1000") as port:
        statuses, contents = asyncio.run(overload(port, chosen))
    counts = Counter(statuses)
    answered = [number for number, status in enumerate(statuses) if status == 200]
    same = sum(contents[number]["predictions"][0]["label"] == expected.labels[number] for number in answered)
    lost = len(chosen) - sum(counts[status] for status in (200, 429))
    # The int8 graphs quantize the activations of a batch together, so that a few answers depend on the batch.
    verdict = "" if not lost and same >= 0.97 * len(answered) else "   MISSED"
    print(
        f"  {len(chosen)} requests at once: {dict(counts)}; {same} of {len(answered)} labels as computed alone{verdict}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="finished run on SST-2")
    parser.add_argument("--point", default="drop1")
    parser.add_argument("--packages", type=Path, help="directory to keep the packages in (default: a temporary one)")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="time of each service in a round")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.packages or Path(temporary)
        texts = sentences()
        write_packages(options.run, directory)
        print(f"{options.clients} clients, {len(texts)} texts, {options.threads} thread(s); milliseconds per request")
        compare([directory / "adaptive", directory / "full_depth"], texts, options)
        check_overload(directory / "adaptive", texts, options.point)


if __name__ == "__main__":
    main()
