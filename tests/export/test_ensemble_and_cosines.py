"""A point on cosines, temperatures and an ensemble leaves and answers alike in `predict`, export and demo."""

from __future__ import annotations

import json
import shutil
import sys
from unittest import mock

import pytest
import torch
from finished_runs import finish_run
from transformers import AutoModelForSequenceClassification

from acl_lightning.cli import main
from acl_lightning.demo import answer, load_served
from acl_lightning.encoders import model_inputs
from acl_lightning.exits import Calibrated, Ensembled, ExitRecord, PrototypeMargin, from_config, to_config
from acl_lightning.export import export_run
from acl_lightning.runs import load_run

SETTINGS = (
    "--config=exits/prototype_margin.yaml",
    "--exit_sweep.ensemble=UniformEnsemble",
    "--exit_sweep.calibrate=true",
)
TEMPERATURES, WEIGHTS = (0.5, 2.0, 0.7), ((1.0,), (0.4, 0.6), (0.2, 0.3, 0.5))
CRITERION = Ensembled(Calibrated(PrototypeMargin(0.5), TEMPERATURES), WEIGHTS)


def between(certainty_EB):
    """A threshold in the largest gap between two certainties of the first exit that are in the middle."""
    values = certainty_EB[0].sort().values[len(certainty_EB[0]) // 4 : -len(certainty_EB[0]) // 4]
    gap = int(values.diff().argmax())
    return float(values[gap : gap + 2].double().mean())


@pytest.fixture(scope="module")
def run(tiny_backbone, tmp_path_factory):
    """A run of three exits with the point `mixed` by `CRITERION`, which the test split leaves at different exits."""
    directory = finish_run(tiny_backbone, tmp_path_factory.mktemp("runs") / "run", *SETTINGS)
    path = directory / "result.json"
    result = json.loads(path.read_text())
    threshold = between(outputs_of(directory)[1])
    mixed = {**result["recommended"]["drop1"], "exit": to_config(CRITERION), "threshold": threshold}
    path.write_text(json.dumps({**result, "recommended": {**result["recommended"], "mixed": mixed}}))
    return directory


@torch.no_grad()
def outputs_of(run):
    """Inputs, certainty and answers of the test split by the full forward pass, in a single batch."""
    module, data = load_run(run)
    rows = data.rows("test")
    batch = rows.__getitems__(list(range(len(rows))))
    outputs = module(batch)
    inputs = CRITERION.inputs(outputs.logits_EBC, None, outputs.cosines_EBC())
    return batch, CRITERION.certainty(inputs), CRITERION.answers(outputs.logits_EBC)


def expected(run):
    """Batch, exit index and class probabilities of each sample of the test split at the point `mixed`."""
    batch, certainty_EB, answers_EBC = outputs_of(run)
    leaves_EB = certainty_EB >= json.loads((run / "result.json").read_text())["recommended"]["mixed"]["threshold"]
    leaves_EB[-1] = True
    exit_B = leaves_EB.int().argmax(dim=0)
    assert 0 < int((exit_B == 0).sum()) < len(exit_B)
    answers_BC = answers_EBC[exit_B, torch.arange(len(exit_B))] / torch.tensor(TEMPERATURES)[exit_B][:, None]
    return batch, exit_B, answers_BC.softmax(dim=-1)


def test_the_run_stores_cosines_weights_and_temperatures_of_the_ensemble(run):
    record = ExitRecord.load(run / "exit_logits.npz")
    assert record.cosines_EBC.shape == record.logits_EBC.shape
    assert record.cosines_EBC.abs().max() <= 1
    result = json.loads((run / "result.json").read_text())
    assert [exit_["weights"] for exit_ in result["ensemble"]] == [[1.0], [0.5, 0.5], [1 / 3] * 3]
    names = {line.split(",")[0] for line in (run / "exit_sweep.csv").read_text().splitlines()[1:]}
    assert {"ensemble_calibrated_prototype_margin", "ensemble_calibrated_entropy", "static"} <= names
    for point in result["recommended"].values():
        assert to_config(from_config(point["exit"])) == point["exit"] or point["criterion"] == "static"


def test_predict_export_and_demo_agree_with_the_full_pass(run, tmp_path):
    batch, exit_B, probabilities_BC = expected(run)
    arguments = [f"--config={run / 'config.yaml'}", f"--ckpt_path={run / 'checkpoints/best.ckpt'}"]
    with mock.patch.object(sys, "argv", ["acl_lightning"]):
        given = ["--exit.operating_point=mixed", "--exit.probabilities=true", f"--run_dir={tmp_path / 'out'}"]
        assert main(["predict", *arguments, *given]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out/predictions.jsonl").read_text().splitlines()]
    assert [row["exit_layer"] - 1 for row in rows] == exit_B.tolist()
    predicted_BC = torch.tensor([list(row["probabilities"].values()) for row in rows])
    torch.testing.assert_close(predicted_BC, probabilities_BC, atol=1e-5, rtol=0)
    assert all(row["calibrated"] for row in rows)

    export_run(run, tmp_path / "export")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "export", operating_point="mixed")
    exported = model(**model_inputs(batch))
    assert (exported.exit_layer - 1).tolist() == exit_B.tolist()
    torch.testing.assert_close(exported.logits.softmax(dim=-1), probabilities_BC, atol=1e-5, rtol=0)
    assert "Ensembled Calibrated PrototypeMargin, weight 0.5" in (tmp_path / "export/README.md").read_text()

    served = load_served(run)
    text = rows[0][served.text_columns[0]]
    shown = answer(served, [text], *served.points["mixed"])
    assert shown.exit_layer - 1 == exit_B[0]
    confidences = list(shown.exits[int(exit_B[0])].probabilities.values())
    assert confidences == pytest.approx(probabilities_BC[0].tolist(), abs=1e-5)
    assert shown.calibrated


def test_points_and_curves_read_the_stored_cosines(run, tmp_path, capsys):
    given = ["--max-drop", "30", "--ensemble", "learnt", "--criteria", "prototype_margin"]
    assert main(["points", str(run), *given]) == 0
    point = json.loads((run / "points.json").read_text())["points"]["drop30_ensemble"]
    assert point["criterion"] in ("ensemble_prototype_margin", "static")
    assert main(["curves", str(run), "--criterion", "prototype_margin", f"--out={tmp_path / 'curves'}"]) == 0
    assert main(["points", str(run), "--max-drop", "40", "--confidence", "0.9", "--criteria", "entropy"]) == 0
    assert "drop40_90" in capsys.readouterr().out


def test_runs_without_cosines_are_refused_by_this_criterion_alone(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    assert ExitRecord.load(run / "exit_logits.npz").cosines_EBC is None
    assert main(["points", str(run), "--speed", "1.2"]) == 0
    for command in (["points", str(run), "--speed", "1.1", "--criteria", "prototype_margin"],
                    ["curves", str(run), "--criterion", "prototype_margin", f"--out={tmp_path}"]):  # fmt: skip
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "expected cosines with the label embeddings in the exit logits; found none. Validate the run" in error
    assert main(["points", str(run), "--confidence", "0.9"]) == 2
    assert "expected --max-drop with --confidence; found none" in capsys.readouterr().err
    assert main(["points", str(run), "--speed", "2", "--criteria", "calibrated"]) == 2
    assert "a criterion that needs no arguments, not 'calibrated'" in capsys.readouterr().err
