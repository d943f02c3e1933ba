"""`points`: operating points selected again from stored logits, and read by every command that takes a name."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from acl_lightning.callbacks.prediction.measured_run import read_operating_point
from acl_lightning.cli import main
from acl_lightning.errors import UserError
from acl_lightning.exits import Calibrated, ExitCosts, ExitRecord, Static, SweepReport, evaluate, from_config
from acl_lightning.exits.evaluation.record import FILE_NAME
from acl_lightning.export.served_points import resolve_point, served_points
from acl_lightning.legacy import present_point
from acl_lightning.runs import read_result
from acl_lightning.runs.names import POINTS

SAMPLES, LAYERS = 240, (1, 2, 4, 6)
TIMES = "exit_layer,milliseconds,static_milliseconds,plain_milliseconds\n1,2,2,9\n2,5,3,9\n4,9,6,9\n6,14,9,9\n"


def stored(directory: Path, *, classes: int = 2, metric: str = "accuracy", noise: float = 1.0) -> Path:
    """A finished run: deeper exits are right more often and surer."""
    directory.mkdir()
    generator = torch.Generator().manual_seed(0)
    labels_B = torch.arange(SAMPLES) % max(classes, 2)
    certain_E = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None]
    noise_EBC = noise * torch.randn(len(LAYERS), SAMPLES, classes, generator=generator)
    if classes == 1:
        labels_B = labels_B.float()
        logits_EBC = labels_B[None, :, None] + noise_EBC / certain_E
    else:
        logits_EBC = noise_EBC + certain_E * torch.nn.functional.one_hot(labels_B, classes) / noise
    costs = ExitCosts(LAYERS, 6, (10.0, 21.0, 42.0, 63.0), 60.0, (10.0, 20.0, 40.0, 60.0))
    selection_B = torch.arange(SAMPLES) // 2 % 2 == 0
    num_tokens_B = torch.full((SAMPLES,), 9)
    record = ExitRecord(logits_EBC, labels_B, torch.arange(SAMPLES), selection_B, num_tokens_B, costs)
    record.save(directory / FILE_NAME)
    static = {"class_path": "acl_lightning.exits.criteria.static.Static", "init_args": {}}
    measured = evaluate(record, [Static()], (1,), metric).to_json()
    drop1 = measured["recommended"]["drop1"] | {"threshold": 4.0, "quality": 0.9, "loss_points": 0.0, "exit": static}
    result = {
        **measured,
        **{"status": "finished", "task": "sst2", "finished": "2026-01-01T00:00:00+00:00"},
        **{"checkpoint": "elsewhere/best.ckpt", "recommended": {"drop1": drop1}},
    }
    (directory / "result.json").write_text(json.dumps(result))
    return directory


@pytest.fixture
def run(tmp_path):
    return stored(tmp_path / "run")


def points(run, *arguments):
    return main(["points", str(run), *arguments])


def test_new_points_keep_their_budgets_and_are_added_beside_the_result(run, capsys):
    before = (run / "result.json").read_bytes()
    assert points(run, "--speed", "1.5", "2", "--max-drop", "0.5", "--flops-speed", "1.6") == 0
    assert (run / "result.json").read_bytes() == before
    found = read_result(run).points
    assert list(found) == ["drop1", "drop0.5", "speed1.5", "speed2", "flops1.6"]
    record = ExitRecord.load(run / FILE_NAME)
    selection = record.split(selection=True)
    full = (selection.logits_EBC[-1].argmax(-1) == selection.labels_B).double().mean()
    for name, (low, drop) in {"speed1.5": (1.5, 1), "speed2": (2, 1), "drop0.5": (1, 0.005)}.items():
        exits_B = selection.leaving(from_config(found[name]["exit"]), found[name]["threshold"])
        layers = torch.tensor(LAYERS)[exits_B].double().mean()
        answers_B = selection.logits_EBC.argmax(-1).gather(0, exits_B[None])[0]
        quality = (answers_B == selection.labels_B).double().mean()
        assert 6 / layers >= low - 1e-9
        assert quality >= full - drop - 1e-9
        assert found[name]["quality_selection"] == pytest.approx(quality.item(), abs=1e-6)
        report = record.split(selection=False)
        exits_B = report.leaving(from_config(found[name]["exit"]), found[name]["threshold"])
        assert found[name]["layer_speedup"] == pytest.approx(6 / torch.tensor(LAYERS)[exits_B].double().mean().item())
    said = capsys.readouterr().out
    assert "speed2" in said
    assert "majority" in said
    assert "Added to points.json: drop0.5, speed1.5, speed2, flops1.6" in said
    assert all(len(line.rstrip()) <= 80 for line in said.splitlines())


def test_every_reader_accepts_the_new_names_and_lists_the_known_ones(run):
    assert points(run, "--speed", "2") == 0
    result = read_result(run).to_json()
    expected = from_config(result["recommended"]["speed2"]["exit"]), result["recommended"]["speed2"]["threshold"]
    by_predict = read_operating_point(run / "checkpoints" / "best.ckpt", "speed2")
    served = served_points(SweepReport.from_json(result).recommended)
    by_export_and_latency = resolve_point(served, "speed2", LAYERS)
    for criterion, threshold in (by_predict, by_export_and_latency):
        assert (type(criterion), criterion.settings, threshold) == (
            type(expected[0]),
            expected[0].settings,
            expected[1],
        )
    for reader in (
        lambda: read_operating_point(run / "checkpoints" / "best.ckpt", "speed3"),
        lambda: resolve_point(served, "speed3", LAYERS),
    ):
        with pytest.raises(UserError, match="an operating point among: drop1, speed2; found 'speed3'"):
            reader()


def test_calibrated_points_have_names_of_their_own(run):
    assert points(run, "--max-drop", "1", "--calibrate") == 0
    found = read_result(run).points["drop1_calibrated"]
    criterion = from_config(found["exit"])
    assert isinstance(criterion, Static | Calibrated)
    assert points(run, "--speed", "1.5", "--calibrate", "--suffix=_c") == 0
    assert list(read_result(run).points) == ["drop1", "drop1_calibrated", "speed1.5_c"]


def test_a_later_call_replaces_points_of_an_earlier_one_only(run, capsys):
    assert points(run, "--speed", "2") == 0
    first = read_result(run).points["speed2"]
    assert points(run, "--speed", "2", "3") == 0
    assert read_result(run).points["speed2"] == first
    capsys.readouterr()
    assert points(run, "--max-drop", "1") == 2
    error = capsys.readouterr().err
    assert "found 'drop1' (static at 4). Set --suffix=_new, for example." in error
    assert list(read_result(run).points) == ["drop1", "speed2", "speed3"]


def test_points_are_chosen_by_measured_time(run, capsys):
    (run / "exit_latency.csv").write_text(TIMES)
    assert points(run, "--measured-speed", "1.5", "--max-latency", "6") == 0
    found = read_result(run).points
    assert {name: point["budget"] for name, point in found.items() if name != "drop1"} == {
        "ms6": "at most 6 ms per sample",
        "measured1.5": "measured speed-up of at least 1.5",
    }
    assert found["measured1.5"]["measured_speedup"] == pytest.approx(9 / found["measured1.5"]["milliseconds"])
    assert "ms per sample by the measured times" in capsys.readouterr().out
    by_time = ["--max-drop", "1", "--table", str(run / "exit_latency.csv")]
    assert points(run, *by_time) == 0
    point = read_result(run).points["drop1_measured"]
    static = {"1": 2, "2": 3, "3": 6, "4": 9}
    if point["criterion"] == "static":
        assert point["milliseconds"] == static[f"{point['threshold']:g}"]


def test_without_a_budget_the_points_of_the_run_are_listed(run, capsys):
    assert points(run) == 0
    assert "drop1" in capsys.readouterr().out
    assert not (run / POINTS).exists()


def test_a_regression_is_chosen_for_too(tmp_path):
    run = stored(tmp_path / "run", classes=1, metric="pearson")
    assert points(run, "--max-drop", "5", "--speed", "1.2") == 0
    found = read_result(run).points
    assert {found[name]["criterion"] for name in ("drop5", "speed1.2")} <= {"static", "patience"}


def test_points_of_other_logits_are_ignored_with_a_warning(run, tmp_path):
    assert points(run, "--speed", "2") == 0
    (run / FILE_NAME).rename(tmp_path / "kept.npz")
    assert list(read_result(run).points) == ["drop1", "speed2"]  # removed to save space
    (stored(tmp_path / "resumed", noise=1.2) / FILE_NAME).rename(run / FILE_NAME)
    with pytest.warns(UserWarning, match=r"points\.json is about an earlier state of this run and is ignored"):
        assert list(read_result(run).points) == ["drop1"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert points(run, "--speed", "3") == 0
    assert list(read_result(run).points) == ["drop1", "speed3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--speed", "50"], "with: layer speed-up of at least 50; found none on the selection split"),
        (["--speed", "0.5"], "a speed-up of 1 or more; found 0.5"),
        (["--max-drop", "-1"], "acceptable drops of 0 points or more; found -1"),
        (["--max-latency", "5"], "columns exit_layer and milliseconds in"),
        (["--speed", "2", "2"], "budgets with different names; found speed2, speed2"),
    ],
)
def test_a_mistake_gets_one_line_and_changes_nothing(run, arguments, message, capsys):
    assert points(run, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (run / POINTS).exists()


def test_files_that_are_missing_or_damaged_are_named(run, capsys):
    (run / FILE_NAME).rename(run / "elsewhere.npz")
    assert points(run, "--speed", "2") == 2
    assert "expected stored exit logits at" in capsys.readouterr().err
    (run / POINTS).write_text("{half")
    assert points(run) == 2
    error = capsys.readouterr().err
    assert "found a damaged file (JSONDecodeError" in error
    assert "Delete it and run `points` again." in error


def test_choosing_imports_neither_lightning_nor_the_model():
    strangers = {"lightning", "datasets", "jsonargparse", "acl_lightning.encoders", "acl_lightning.training.module"}
    code = f"import sys, acl_lightning.cli.points; assert not {strangers} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_result_of_an_earlier_version_is_listed(capsys):
    """The quickstart's, whatever version wrote it."""
    quickstart = Path(__file__).parents[2] / "experiments" / "quickstart"
    assert main(["points", str(quickstart)]) == 0
    said = capsys.readouterr().out
    for name in json.loads((quickstart / "result.json").read_text())["recommended"]:
        assert present_point(name) in said
