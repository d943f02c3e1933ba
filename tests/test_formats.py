"""A run and an export of an earlier version are read by every command."""

import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest

from acl_lightning.cli import main
from acl_lightning.legacy import present_names, present_point, present_points

# The states of callbacks that were renamed are not needed for prediction.
pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")

VERSIONS = sorted(path.name for path in (Path(__file__).parent / "formats").iterdir() if path.is_dir())


@pytest.fixture(params=VERSIONS)
def earlier(request, tmp_path, monkeypatch) -> Path:
    """A copy of the files of a version, with the backbone's path filled in."""
    copy = tmp_path / request.param
    shutil.copytree(Path(__file__).parent / "formats" / request.param, copy)
    for path in (copy / "run/config.yaml", copy / "export/config.json"):
        path.write_text(path.read_text().replace("BACKBONE", str(copy / "backbone")))
    monkeypatch.setattr(sys, "argv", ["acl_lightning"])
    warnings.filterwarnings("ignore", message=".*uses names of an earlier version")
    return copy


def test_predict_answers_as_the_earlier_version_did(earlier):
    arguments = [f"--config={earlier / 'run/config.yaml'}", f"--ckpt_path={earlier / 'run/checkpoints/best.ckpt'}"]
    for name in ("loss0", "drop0"):
        out = earlier / name
        assert main(["predict", *arguments, f"--run_dir={out}", f"--exit.operating_point={name}"]) == 0
        rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
        before = [json.loads(line) for line in (earlier / "predictions_loss0.jsonl").read_text().splitlines()]
        for now, then in zip(rows, before, strict=False):
            assert (now["sentence"], now["label"], now["exit_layer"]) == (
                then["sentence"],
                then["label"],
                then["exit_layer"],
            )


@pytest.mark.filterwarnings("ignore:.*updated_called")  # `pytest.warns` shows what the command line filters
def test_an_earlier_configuration_trains(earlier):
    arguments = ["--trainer.max_epochs=1", "--data.synthetic_rows=64", "--trainer.callbacks=[]"]
    with pytest.warns(UserWarning, match=r"names of an earlier version: .*gradient_conflict -> gradient_monitor"):
        assert main(["fit", f"--config={earlier / 'run/config.yaml'}", *arguments, f"--run_dir={earlier / 'new'}"]) == 0
    text = (earlier / "new/config.yaml").read_text()
    assert "acl_lightning.gradients.ACLGrad" in text
    assert "Discard" not in text


@pytest.mark.parametrize("name", ["loss0", "drop0"])
def test_the_export_loads(earlier, name):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    import acl_lightning.export  # noqa: F401 - registers the model with transformers

    model = AutoModelForSequenceClassification.from_pretrained(earlier / "export", operating_point=name)
    tokenizer = AutoTokenizer.from_pretrained(earlier / "export")
    before = [json.loads(line) for line in (earlier / "predictions_loss0.jsonl").read_text().splitlines()]
    batch = tokenizer([row["sentence"] for row in before], padding=True, return_tensors="pt")
    with torch.inference_mode():
        output = model(**batch)
    assert [model.config.id2label[label] for label in output.logits.argmax(-1).tolist()] == [r["label"] for r in before]
    assert output.exit_layer.tolist() == [row["exit_layer"] for row in before]


def test_commands_read_the_run(earlier, capsys):
    run, export = earlier / "run", earlier / "export-again"
    assert main(["export", str(run), "--out", str(export)]) == 0
    assert set(json.loads((export / "config.json").read_text())["operating_points"]) == {"drop0", "drop1", "drop2"}
    assert main(["points", str(run), "--speed", "2"]) == 0
    assert main(["curves", str(run), "--out", str(earlier / "curves")]) == 0
    assert (earlier / "curves/curves.png").stat().st_size
    arguments = ["--repeats=1", "--batch_size=8", "--rows=16"]
    assert main(["latency", str(run), "--out", str(earlier / "latency"), *arguments]) == 0


def test_names_of_earlier_versions():
    old = {
        "gradient_conflict": {"every_n_steps": 5},
        "exit_sweep": {"max_losses": [0, 1]},
        "model": {"gradient_rule": "acl_lightning.gradients.Discard", "name": "Discard"},
    }
    present, renamed = present_names(old)
    assert present == {
        "gradient_monitor": {"every_n_steps": 5},
        "exit_sweep": {"max_drops": [0, 1]},
        "model": {"gradient_rule": "acl_lightning.gradients.ACLGrad", "name": "Discard"},
    }
    assert "acl_lightning.gradients.Discard -> acl_lightning.gradients.ACLGrad" in renamed
    modules = ["acl_embed.ACLEmbed", "teachers.GivenExit", "ACLEmbed", "weighted_objective.WeightedObjective"]
    moved, _ = present_names({"model": [f"acl_lightning.objectives.{name}" for name in modules]})
    current = ["ACLEmbed", "FixedExit", "ACLEmbed", "weighted_objective.WeightedObjective"]
    assert moved == {"model": [f"acl_lightning.objectives.{name}" for name in current]}
    assert "gradient_conflict" in old
    assert [present_point(name) for name in ("loss1", "loss0.5_measured", "speed2", "lossless")] == [
        "drop1",
        "drop0.5_measured",
        "speed2",
        "lossless",
    ]
    assert present_points({"loss1": 1, "drop1": 2, "first": 3}) == {"drop1": 2, "first": 3}
