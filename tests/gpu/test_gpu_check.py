"""Script of `make gpu-check`: its files, and its behaviour without a GPU."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def gpu_check(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from tests.benchmarks import gpu_check

    return gpu_check


def test_without_a_gpu_the_script_reports_why_it_skips(gpu_check, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("ACL_LIGHTNING_GPU_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([f"--out={tmp_path}"]) == 0
    assert capsys.readouterr().out.startswith("gpu-check skipped: no CUDA device (torch ")
    assert not list(tmp_path.iterdir())


def test_an_unknown_part_is_refused(gpu_check, capsys):
    with pytest.raises(SystemExit, match="2"):
        gpu_check.main(["--parts=tests,all"])
    assert "expected parts among tests, quickstart, " in capsys.readouterr().err


def test_a_failing_part_is_reported_and_the_other_parts_run(gpu_check, monkeypatch, tmp_path):
    def broken():
        raise RuntimeError("out of\nmemory")

    spread = {"median": 1.5, "low": 1.4, "high": 1.6}
    parts = {
        "tests": lambda: {"passed": 3, "failed": ["tests.gpu::test_x"], "skipped": 0, "seconds": 1.0},
        "quickstart": broken,
        "training": lambda: {
            "32-true": {"data": "pairs", "milliseconds": {"CE": 12.5}, "ratios": {"ACL-Grad / CE": spread}}
        },
        "synchronisations": lambda: {"CE": {"per_step": 2.0, "places": {"step.py:7": 2.0}}},
        "runtime": lambda: [
            {
                "batch_size": 32, "point": "drop1", "mean_exit_layer": 3.0, "layer_speedup": 2.0,
                "measured_speedup": spread, "milliseconds_per_sample": 0.1,
            }
        ],
    }  # fmt: skip
    monkeypatch.setenv("ACL_LIGHTNING_GPU_DEVICE", "cpu")
    monkeypatch.setattr(gpu_check, "_parts", lambda *_: parts)
    assert gpu_check.main([f"--out={tmp_path}"]) == 1
    (table,) = tmp_path.glob("cpu_*.md")
    results = json.loads(table.with_suffix(".json").read_text())
    assert results["failures"] == {"quickstart": "RuntimeError: out of memory"}
    assert results["environment"]["torch"] == torch.__version__
    text = table.read_text()
    for line in (
        "**quickstart failed**: RuntimeError: out of memory",
        "Tests: 3 passed, 1 failed, 0 skipped.",
        "| ACL-Grad / CE | 1.50 | 1.40-1.60 |",
        "| CE | 2.0 | `step.py:7` 2.0 |",
        "| 32 | drop1 | 2.00 | 1.50 | 1.40-1.60 | 0.1 |",
    ):
        assert line in text
    assert sys.version_info[:2] == tuple(map(int, results["environment"]["python"].split(".")[:2]))
