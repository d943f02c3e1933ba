"""Test of a run on an own table, from the package to the service and to scored files."""

import csv
import json

import numpy as np
import pytest
from finished_runs import undrawn_figures
from starlette.testclient import TestClient

from acl_lightning.cli import main
from acl_lightning.runs import load_run
from acl_lightning.runs.records import read_exit_logits
from acl_lightning.serving import MODES, AdaptiveSession
from acl_lightning.serving.http import create_app


@pytest.mark.slow
def test_a_table_of_pairs_with_its_own_labels_is_exported_served_and_scored(tiny_backbone, tmp_path, monkeypatch):
    words = {"refund, please": "money back", "delivery": "late parcel", "praise": "great thanks"}
    rows = [(f"mail {number}", f"{words[name]} {number % 9}", name) for number in range(40) for name in words]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["acl_lightning"])
    with (tmp_path / "mails.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("subject", "body", "topic"), *rows])
    data = ["--data.train=mails.csv", "--data.text=[subject, body]", "--data.label=topic", "--data.max_length=16"]
    trainer = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.logger=false"]
    model = [f"--model.encoder.backbone={tiny_backbone}", "--exit_sweep.calibrate=true", "--run_dir=run"]
    with undrawn_figures():
        assert main(["fit", "--config=fit/table.yaml", *data, *trainer, *model]) == 0
    assert main(["export", "run", "--out=package", "--format=onnx"]) == 0
    session, stored = AdaptiveSession("package", "drop1"), read_exit_logits("run")
    assert session.manifest.label_names == tuple(sorted(words))
    _, data = load_run("run")
    split = data.rows(data.info.validation_splits[0])
    tokens = {name: values.numpy() for name, values in split.__getitems__(stored.index_B.tolist()).items()}
    for mode in MODES:
        inputs = {name: tokens[name] for name in session.manifest.inputs}
        answers = session.decide(inputs, operating_point="full_depth", mode=mode)
        np.testing.assert_allclose(answers.logits, stored.logits_EBC[-1].numpy(), rtol=0, atol=1e-5)
    texts = [row[:2] for row in rows]
    with TestClient(create_app(session)) as client:
        served = client.post("/predict", json={"texts": [list(text) for text in texts[:8]]}).json()["predictions"]
    expected = session(texts)
    assert [row["label"] for row in served] == list(expected.labels[:8])
    command = ["score", "package", "--input=mails.csv", "--label=topic", "--output=scores.csv", "--report=report.json"]
    assert main([*command, "--operating-point=drop1"]) == 0
    with (tmp_path / "scores.csv").open(newline="") as file:
        scored = {(row["subject"], row["body"]): row["label"] for row in csv.DictReader(file)}
    assert [scored[text] for text in texts] == list(expected.labels)
    assert json.loads((tmp_path / "report.json").read_text())["quality"]["labelled_rows"] == len(rows)
