"""Tests and benchmarks on a GPU with a small file of results. Run by `make gpu-check`.

The parts are the tests marked `gpu`, the quickstart, and the benchmark `tests.benchmarks.gpu`. If a part fails, it is
reported, the other parts run, and the exit code is 1. Without a GPU nothing runs and the exit code is 0.

ACL_LIGHTNING_GPU_DEVICE=cpu tests the script itself on the CPU with small sizes; its numbers are not meaningful.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import logging
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PARTS = ("tests", "quickstart", "training", "synchronisations", "runtime")


def run_tests(quick: bool) -> dict[str, Any]:
    """Run the tests marked `gpu` in a separate process."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu", "-p", "no:cacheprovider"]
        start = time.monotonic()
        done = subprocess.run([*command, f"--junitxml={report}"], cwd=ROOT, check=False)
        if not report.is_file():
            raise RuntimeError(f"pytest ended with code {done.returncode} and without a report")
        cases = list(xml.etree.ElementTree.parse(report).getroot().iter("testcase"))
    failed = [f"{case.get('classname')}::{case.get('name')}" for case in cases if _failed(case)]
    skipped = sum(case.find("skipped") is not None for case in cases)
    if failed or done.returncode:
        print(f"{len(failed)} of {len(cases)} tests failed", flush=True)
    return {
        "passed": len(cases) - len(failed) - skipped,
        "failed": failed,
        "skipped": skipped,
        "seconds": round(time.monotonic() - start, 1),
    }


def _failed(case: xml.etree.ElementTree.Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def run_quickstart(run: Path, accelerator: str, quick: bool) -> dict[str, Any]:
    """Run the quickstart like `make run`."""
    command = [sys.executable, "-m", "acl_lightning", "fit", "--config=conf/quickstart.yaml", f"--run_dir={run}"]
    command += [f"--trainer.accelerator={accelerator}", "--trainer.devices=1", "--trainer.enable_progress_bar=false"]
    if quick:
        command += ["--data.synthetic_rows=160", "--data.max_length=32", "--trainer.max_epochs=1"]
    start = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True)
    seconds = time.monotonic() - start
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    kept = ("criterion", "threshold", "quality", "layer_speedup", "flops_speedup")
    return {
        "seconds": round(seconds, 1),
        "device": result["device"],
        "accuracy_per_exit": [round(row["accuracy"], 4) for row in result["per_exit"]],
        "recommended": {
            name: {key: point[key] for key in kept if key in point} for name, point in result["recommended"].items()
        },
    }


def environment(device: Any) -> dict[str, Any]:
    """Names and versions of the device and the libraries."""
    import torch

    packages = ("torch", "lightning", "transformers", "datasets", "numpy")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
    return {
        "device": name,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        **{package: importlib.metadata.version(package) for package in packages},
    }


def as_markdown(results: dict[str, Any]) -> str:
    """Markdown tables of the results."""
    lines = [f"# GPU check on {results['environment']['device']}", ""]
    lines += [", ".join(f"{name} {value}" for name, value in results["environment"].items() if name != "device"), ""]
    for name, error in results["failures"].items():
        lines += [f"**{name} failed**: {error}", ""]
    if "tests" in results:
        tests = results["tests"]
        lines += [f"Tests: {tests['passed']} passed, {len(tests['failed'])} failed, {tests['skipped']} skipped."]
        lines += [f"- failed: `{name}`" for name in tests["failed"]] + [""]
    if "quickstart" in results:
        quickstart = results["quickstart"]
        shares = ", ".join(f"{100 * value:.1f}" for value in quickstart["accuracy_per_exit"])
        lines += [f"Quickstart: {quickstart['seconds']} s with start-up; accuracy per exit (%): {shares}.", ""]
    for precision, training in results.get("training", {}).items():
        lines += [
            f"Training steps, {precision}, {training['data']}:",
            "",
            "| ratio | median | range |",
            "|---|---|---|",
        ]
        lines += [f"| {name} | {_range(ratio)} |" for name, ratio in training["ratios"].items()] + [""]
        lines += ["| step | ms |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in training["milliseconds"].items()] + [""]
    counted = results.get("synchronisations", {})
    if counted and "skipped" not in counted:
        lines += ["| step, bf16-mixed | host synchronisations | most frequent places |", "|---|---|---|"]
        for name, counts in counted.items():
            places = ", ".join(f"`{place}` {count}" for place, count in counts["places"].items())
            lines += [f"| {name} | {counts['per_step']} | {places} |"]
        lines += [""]
    if "runtime" in results:
        lines += ["Adaptive runtime against the plain model, both in bfloat16:", ""]
        lines += [
            "| batch | point | layer speed-up | measured speed-up | range | ms per sample |",
            "|---|---|---|---|---|---|",
        ]
        for row in results["runtime"]:
            speed = _range(row["measured_speedup"])
            lines += [
                f"| {row['batch_size']} | {row['point']} | {row['layer_speedup']:.2f} | {speed} | "
                f"{row['milliseconds_per_sample']} |"
            ]
        lines += [""]
    return "\n".join(lines)


def _range(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} | {ratio['low']:.2f}-{ratio['high']:.2f}"


def main(args: list[str] | None = None) -> int:
    """Run the parts, and write `DEVICE.json` and `DEVICE.md`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="directory of the results (default: experiments/gpu_check)")
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated parts (default: all)")
    arguments = parser.parse_args(args)
    parts = arguments.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"expected parts among {', '.join(PARTS)}; found {', '.join(unknown)}")
    import torch

    wanted = os.environ.get("ACL_LIGHTNING_GPU_DEVICE", "cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        print(f"gpu-check skipped: no CUDA device (torch {torch.__version__}, CUDA {torch.version.cuda})")
        return 0
    device, quick = torch.device(wanted), wanted == "cpu"
    out = arguments.out or ROOT / ("runs/gpu_check" if quick else "experiments/gpu_check")
    results: dict[str, Any] = {"environment": environment(device), "failures": {}}
    with tempfile.TemporaryDirectory() as directory:
        for name, part in _parts(device, Path(directory) / "run", quick).items():
            if name in parts:
                print(f"gpu-check: {name}", flush=True)
                _attempt(name, part, results)
                _write(out, results)
    failed = bool(results["failures"]) or bool(results.get("tests", {}).get("failed"))
    return 1 if failed else 0


def _parts(device: Any, run: Path, quick: bool) -> dict[str, Callable[[], Any]]:
    """Run the parts in order. The benchmark is imported late, because it imports the whole package."""
    from tests.benchmarks import gpu

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    accelerator = gpu.accelerator_of(device)
    precisions = ("bf16-mixed",) if quick else ("32-true", "bf16-mixed")
    return {
        "tests": lambda: run_tests(quick),
        "quickstart": lambda: run_quickstart(run, accelerator, quick),
        "training": lambda: {precision: gpu.training_steps(device, precision, quick=quick) for precision in precisions},
        "synchronisations": lambda: gpu.synchronisations(device, quick=quick),
        "runtime": lambda: gpu.runtime(device, run, quick=quick),
    }


def _attempt(name: str, part: Callable[[], Any], results: dict[str, Any]) -> None:
    try:
        results[name] = part()
    except Exception as error:  # the other parts run nevertheless
        traceback.print_exc()
        results["failures"][name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _write(out: Path, results: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "_", results["environment"]["device"].lower()).strip("_")
    (out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(as_markdown(results), encoding="utf-8")
    print(f"gpu-check: written {out / name}.md", flush=True)


if __name__ == "__main__":
    sys.exit(main())
