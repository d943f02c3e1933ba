"""New operating points of a real run, in `predict`, `export`, `latency` and the demo."""

from __future__ import annotations

import csv
import json

import pytest
from finished_runs import finish_run

from acl_lightning.cli import main
from acl_lightning.exits import ExitRecord, from_config
from acl_lightning.exits.evaluation.record import FILE_NAME
from acl_lightning.runs import read_result


@pytest.fixture(scope="module")
def run(tiny_backbone, tmp_path_factory):
    """Three layers; the points `speed1.2` and `flops1.2` are added afterwards."""
    directory = finish_run(tiny_backbone, tmp_path_factory.mktemp("points") / "run")
    assert main(["points", str(directory), "--speed", "1.2", "--flops-speed", "1.2"]) == 0
    return directory


def predict(command, run, out, *arguments):
    best = run / "checkpoints" / "best.ckpt"
    given = (f"--config={run / 'config.yaml'}", f"--ckpt_path={best}", f"--run_dir={out}", *arguments)
    return command("predict", *given, defaults=False)


def test_predict_leaves_where_the_new_point_says(run, command, tmp_path):
    point = read_result(run).points["speed1.2"]
    record = ExitRecord.load(run / FILE_NAME)
    exits_B = record.leaving(from_config(point["exit"]), point["threshold"])
    expected = {
        index: record.costs.layers_E[exit_]
        for index, exit_ in zip(record.index_B.tolist(), exits_B.tolist(), strict=True)
    }
    given = ("--exit.operating_point=speed1.2", "--data.predict_split=validation")
    assert predict(command, run, tmp_path / "out", *given)[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert {row["index"]: row["exit_layer"] for row in rows} == expected
    code, error = predict(command, run, tmp_path / "other", "--exit.operating_point=speed9")
    assert code == 2
    assert "speed1.2, flops1.2; found 'speed9'. Choose a point with `points RUN`" in error


def test_export_and_latency_know_the_new_points(run, tmp_path, capsys):
    assert main(["export", str(run), f"--out={tmp_path / 'export'}"]) == 0
    config = json.loads((tmp_path / "export" / "config.json").read_text())
    assert {"drop0", "speed1.2", "flops1.2"} <= set(config["operating_points"])
    given = ["--operating_point", "speed1.2", "--mode", "batch", "--repeats=1", "--rows=4", f"--out={tmp_path}"]
    assert main(["latency", str(run), *given]) == 0
    with (tmp_path / "latency.csv").open() as table:
        assert [row["operating_point"] for row in csv.DictReader(table)] == ["full_depth", "speed1.2"]
    assert main(["latency", str(run), "--operating_point", "speed9", f"--out={tmp_path}"]) == 2
    assert "speed1.2, flops1.2; found 'speed9'" in capsys.readouterr().err


def test_validate_into_the_run_makes_new_budgets_usable(run, command, tmp_path):
    before = json.loads((run / "result.json").read_text())
    best = run / "checkpoints" / "best.ckpt"
    given = (f"--config={run / 'config.yaml'}", f"--ckpt_path={best}", f"--run_dir={run}")
    code, error = command("validate", *given, "--exit_sweep.min_speedups=[1.5]", defaults=False)
    assert code == 0, error
    after = json.loads((run / "result.json").read_text())
    assert "speed1.5" in after["recommended"]
    for key in ("fit_seconds", "config_hash", "checkpoint", "full_depth"):
        assert after[key] == before[key], key
    assert json.loads((run / "result-before-validating.json").read_text()) == before
    assert predict(command, run, tmp_path / "out", "--exit.operating_point=speed1.5")[0] == 0
    foreign = tmp_path / "foreign.ckpt"
    foreign.write_bytes(best.read_bytes())
    code, error = command("validate", given[0], f"--ckpt_path={foreign}", given[2], defaults=False)
    assert code == 2
    assert "a run directory that validate has not written to" in error
