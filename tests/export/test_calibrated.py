"""Tests that all outputs of a calibrated run use the fitted temperature of the exit."""

import json
import sys
from unittest import mock

import pytest
import torch
from finished_runs import finish_run
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from acl_lightning.callbacks.prediction.output_file import PredictionFile
from acl_lightning.cli import main
from acl_lightning.cli.trainer import CommandLine
from acl_lightning.demo import answer, load_served
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Calibrated,
    Entropy,
    exit_probabilities,
    from_config,
    stored_temperatures,
    temperatures_of,
)
from acl_lightning.export import export_run
from acl_lightning.runs import load_run

NAMES = ["negative", "positive"]


@pytest.fixture(scope="module")
def run(tiny_backbone, tmp_path_factory):
    """A calibrated run with three exits, with the temperatures in `TEMPERATURES` instead of the fitted ones."""
    directory = finish_run(tiny_backbone, tmp_path_factory.mktemp("runs") / "run", "--exit_sweep.calibrate=true")
    path = directory / "result.json"
    result = json.loads(path.read_text())
    assert result["calibrated"] is True
    assert [row["layer"] for row in result["calibration"]] == [1, 2, 3]
    for row, temperature in zip(result["calibration"], TEMPERATURES, strict=True):
        row["temperature"] = temperature
    entropy = {"class_path": "acl_lightning.exits.criteria.entropy.Entropy", "init_args": {}}
    middle = {**result["recommended"]["first"], "criterion": "entropy", "threshold": 0.003, "exit": entropy}
    path.write_text(json.dumps({**result, "recommended": {**result["recommended"], "middle": middle}}))
    return directory


TEMPERATURES = [0.05, 0.5, 3.0]


def keep(line, lines):
    """Store the command line in a list when it builds its Trainer."""
    lines.append(line)
    return build_trainer(line)


build_trainer = CommandLine.instantiate_trainer


def predict(run, out, *arguments):
    config, checkpoint = f"--config={run / 'config.yaml'}", f"--ckpt_path={run / 'checkpoints/best.ckpt'}"
    lines = []
    with (
        mock.patch.object(sys, "argv", ["acl_lightning"]),
        mock.patch.object(CommandLine, "instantiate_trainer", lambda line: keep(line, lines)),
    ):
        assert main(["predict", config, checkpoint, f"--run_dir={out}", *arguments]) == 0
    assert lines[0].trainer.predict_loop.predictions == []  # a list of predictions would grow with the data
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def expected_rows(run):
    """Logits [E, B, C] of the test split, batch by batch as `predict` sees them."""
    module, data = load_run(run)
    rows = data.rows("test")
    batch = rows.__getitems__(list(range(len(rows))))
    with torch.no_grad():
        return module(batch).logits_EBC


def check(rows, logits_EBC, temperatures):
    for index, row in enumerate(rows):
        exit_ = row["exit_layer"] - 1
        scaled_C = logits_EBC[exit_, index] / (temperatures[exit_] if temperatures else 1.0)
        expected_C = scaled_C.softmax(dim=-1).tolist()
        assert row["confidence"] == pytest.approx(max(expected_C), abs=1e-5)
        assert row["label"] == NAMES[expected_C.index(max(expected_C))]
        assert row["calibrated"] is bool(temperatures)
        if "probabilities" in row:
            assert row["probabilities"] == pytest.approx(dict(zip(NAMES, expected_C, strict=True)), abs=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--exit.operating_point=first"],
        ["--exit.operating_point=middle"],
        ["--exit.operating_point=drop1"],
        ["--exit.criterion=Confidence", "--exit.threshold=0.53"],
    ],
)
def test_predict_writes_calibrated_confidences(run, tmp_path, arguments):
    rows = predict(run, tmp_path, *arguments, "--exit.probabilities=true")
    assert all(list(row["probabilities"]) == NAMES for row in rows)
    if "drop1" in str(arguments):  # its criterion holds the fitted temperatures
        point = json.loads((run / "result.json").read_text())["recommended"]["drop1"]
        temperatures = temperatures_of(from_config(point["exit"]), TEMPERATURES)
    else:
        temperatures = TEMPERATURES
    check(rows, expected_rows(run), temperatures)


def test_rows_of_a_run_without_calibration_are_marked(tiny_backbone, tmp_path):
    run = finish_run(tiny_backbone, tmp_path / "run")
    rows = predict(run, tmp_path / "out", "--exit.operating_point=first")
    assert not any("probabilities" in row for row in rows)
    check(rows, expected_rows(run), None)


def test_the_command_continues_a_prediction_that_was_killed(run, tmp_path):
    whole = predict(run, tmp_path / "whole", "--data.eval_batch_size=4")
    killed = mock.patch.object(PredictionFile, "finish", PredictionFile.close)  # before the file gets its name
    with killed, pytest.raises(FileNotFoundError):
        predict(run, tmp_path / "killed", "--data.eval_batch_size=4")
    (part,) = (tmp_path / "killed").glob(".predictions.jsonl-*.part")
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    with mock.patch.object(PredictionFile, "write", autospec=True, side_effect=PredictionFile.write) as write:
        assert predict(run, tmp_path / "killed", "--data.eval_batch_size=4") == whole
    assert 0 < write.call_count < len(whole) // 4
    assert not part.exists()


def test_temperatures_of_another_checkpoint_are_not_used(run, tmp_path):
    checkpoint = run / "checkpoints/best.ckpt"
    other = run / "checkpoints/other.ckpt"
    other.write_bytes(checkpoint.read_bytes())
    rows = predict(run, tmp_path, f"--ckpt_path={other}")
    other.unlink()
    assert {row["calibrated"] for row in rows} == {False}


def test_the_export_its_pipeline_and_the_demo(run, tmp_path):
    out = tmp_path / "model"
    export_run(run, out)
    model = AutoModelForSequenceClassification.from_pretrained(out)
    assert model.config.temperatures == TEMPERATURES
    text = "a fine film that nobody needs"
    tokens = AutoTokenizer.from_pretrained(out)(text, return_tensors="pt")
    module, _ = load_run(run)
    with torch.no_grad():
        logits_EC = module.encoder(**tokens).logits_EBC[:, 0]
    expected_EC = (logits_EC / torch.tensor(TEMPERATURES)[:, None]).softmax(dim=-1)
    for name, exit_ in (("first", 0), (None, 2)):
        torch.testing.assert_close(
            model(**tokens, operating_point=name).logits.softmax(dim=-1)[0], expected_EC[exit_], rtol=0, atol=1e-5
        )
    answers = pipeline("text-classification", model=str(out), device="cpu", top_k=None)([text])[0]
    scores = {answer["label"]: answer["score"] for answer in answers}
    assert scores == pytest.approx(dict(zip(NAMES, expected_EC[2].tolist(), strict=True)), abs=1e-5)
    assert "divided by a temperature per exit" in (out / "README.md").read_text()
    for directory in (run, out):
        served = load_served(directory)
        assert served.temperatures_E == tuple(TEMPERATURES)
        shown = answer(served, [text], *served.points["first"])
        assert shown.calibrated
        for exit_answer, expected_C in zip(shown.exits, expected_EC.tolist(), strict=True):
            assert list(exit_answer.probabilities.values()) == pytest.approx(expected_C, abs=1e-5)


def test_the_onnx_graph_is_calibrated_too(run, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    out = tmp_path / "model"
    assert main(["export", str(run), "--out", str(out), "--onnx", "--exit_layer=2"]) == 0
    tokens = AutoTokenizer.from_pretrained(out)("a fine film", return_tensors="np")
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    (logits_BC,) = session.run(None, dict(tokens))
    module, _ = load_run(run)
    with torch.no_grad():
        expected_BC = module.encoder(**{k: torch.tensor(v) for k, v in tokens.items()}).logits_EBC[1]
    torch.testing.assert_close(torch.tensor(logits_BC), expected_BC / TEMPERATURES[1], rtol=0, atol=1e-4)


def test_probabilities_by_hand():
    logits_BC = torch.tensor([[0.0, 2.0], [0.0, 2.0]])
    probabilities_BC = exit_probabilities(logits_BC, torch.tensor([0, 1]), (1.0, 2.0))
    torch.testing.assert_close(probabilities_BC, torch.tensor([[0.1192, 0.8808], [0.2689, 0.7311]]), rtol=0, atol=1e-4)
    torch.testing.assert_close(exit_probabilities(logits_BC, torch.tensor([0, 1]), None), probabilities_BC[[0, 0]])
    assert temperatures_of(Calibrated(Entropy(), [1.0, 2.0]), None) == (1.0, 2.0)
    assert temperatures_of(Entropy(), [3.0]) == (3.0,)
    assert temperatures_of(Entropy(), None) is None


@pytest.mark.parametrize("rows", [None, [], [{}], [{"temperature": 0}], [{"temperature": "warm"}], ["warm"], 3])
def test_damaged_temperatures_are_refused(rows):
    assert stored_temperatures({"calibrated": False, "calibration": rows}, 1) is None
    with pytest.raises(UserError, match="a positive temperature per exit; found"):
        stored_temperatures({"calibrated": True, "calibration": rows}, 1)


def test_stored_temperatures_of_another_model():
    with pytest.raises(UserError, match=r"temperatures of 2 exits in result\.json; found 1"):
        stored_temperatures({"calibrated": True, "calibration": [{"temperature": 1.0}]}, 2)
