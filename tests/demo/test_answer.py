"""Tests of the demo's answers: they equal those of the encoder and leave where a sweep leaves."""

import dataclasses
from pathlib import Path

import pytest
import torch

from acl_lightning.cli.demo import main as demo_command
from acl_lightning.demo import ServedModel, answer, criteria_for, load_served
from acl_lightning.demo.answer import first_point
from acl_lightning.demo.page import slider_range, summary_html, table_html, table_rows
from acl_lightning.encoders import EncoderConfig
from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence, LearntGate, Patience, Static, exit_index
from acl_lightning.export import MultiExitForSequenceClassification, exported_config
from acl_lightning.export.directory import write_directory
from acl_lightning.runs import RunResult
from acl_lightning.runs.checkpoints import run_of

TEXT = "a fine film that nobody needs"


def alike(found, expected):
    """Assert that two separately loaded models give the same answers: numbers within float32 rounding."""
    assert [(one.layer, one.label, one.leaves) for one in found] == [
        (one.layer, one.label, one.leaves) for one in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert one.certainty == pytest.approx(other.certainty, abs=1e-5)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize("name", ["confidence", "entropy", "margin", "patience", "static"])
def test_the_input_leaves_where_a_sweep_leaves_at_every_threshold(served, name):
    criterion = criteria_for(served)[name]
    batch = served.tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        logits_EBC = served.encoder(**batch).logits_EBC
    certainty_E1 = criterion.certainty(logits_EBC)
    layers = set()
    for threshold in criterion.thresholds(3)[::7] + criterion.thresholds(3)[-1:]:
        found = answer(served, [TEXT], criterion, threshold)
        expected = int(exit_index(certainty_E1, torch.tensor([threshold]))[0, 0])
        assert [one.leaves for one in found.exits] == [number == expected for number in range(3)]
        assert found.exit_layer == expected + 1
        layers.add(found.exit_layer)
    assert len(layers) > 1 or name == "patience"
    assert [one.certainty for one in found.exits] == pytest.approx(certainty_E1[:, 0].tolist(), abs=1e-5)
    probabilities_EC = logits_EBC[:, 0].softmax(dim=-1).tolist()
    for one, probabilities in zip(found.exits, probabilities_EC, strict=True):
        assert list(one.probabilities.values()) == pytest.approx(probabilities, abs=1e-5)
        assert one.label == ("negative" if probabilities[0] > probabilities[1] else "positive")
    assert found.num_tokens == batch["input_ids"].shape[1]
    assert found.milliseconds > 0
    assert found.full_milliseconds > 0


def test_a_regression_of_pairs(served_regression):
    assert set(criteria_for(served_regression)) == {"patience", "static"}
    found = answer(served_regression, ["a cat", "a dog"], Static(), 1.0)
    assert [one.layer for one in found.exits] == [1, 3]
    assert found.exit_layer == 1
    assert all(one.probabilities == {} and float(one.label) is not None for one in found.exits)
    assert "from the exit after layer <b>1</b> of 3" in summary_html(found, 3)


def test_a_learnt_gate_is_offered_if_the_encoder_has_a_gate(tiny_backbone, served):
    encoder = EncoderConfig(backbone=tiny_backbone, learnt_gate=True).build(num_labels=2).eval()
    gated = ServedModel(encoder, served.tokenizer, served.label_names, served.text_columns, "sst2")
    assert LearntGate.name in criteria_for(gated)
    assert LearntGate.name not in criteria_for(served)
    assert answer(gated, [TEXT], LearntGate(), 0.0).exit_layer == 1


def test_a_text_with_more_tokens_than_positions_is_truncated(served):
    assert answer(served, ["word " * 2000], Static(), 3.0).num_tokens == served.encoder.backbone.max_tokens


@pytest.mark.parametrize("texts", [[], [""], ["  "], ["one", "two"]])
def test_texts_that_are_missing_or_too_many(served, texts):
    with pytest.raises(UserError, match=r"a text for sentence; found .*Fill in every text field"):
        answer(served, texts, Confidence(), 0.5)


def test_the_table_and_the_summary(served):
    found = answer(served, ["<b>film</b>"], Patience(), 1.0)
    table = table_rows(found)
    layers = ["1", "2", "3"]
    layers[found.exit_layer - 1] += " (leaves here)"
    assert [row[0] for row in table] == layers
    assert table[0][1].startswith(f"{found.exits[0].label} 0.")
    assert "<td>&lt;b&gt;" not in table_html(found)
    assert table_html(found).count("<tr class=leaves>") == 1
    assert "Probabilities are not calibrated." in summary_html(found, 3)
    assert f"Answer: <b>{found.exits[found.exit_layer - 1].label}</b>" in summary_html(found, 3)


def test_the_slider_covers_the_sweeps_grid():
    assert slider_range(Patience(), 6) == (1.0, 5.0, 1.0)
    assert slider_range(Static(), 6) == (1.0, 6.0, 1.0)
    assert slider_range(Confidence(), 6) == (0.0, 1.0, 0.01)


def test_an_export_is_served(served, tmp_path):
    result = RunResult("finished")
    config = exported_config(served.encoder, served.label_names, served.text_columns, "sst2", result)
    model = MultiExitForSequenceClassification(config)
    model.encoder.load_state_dict(served.encoder.state_dict())
    write_directory(tmp_path / "out", model.eval(), served.tokenizer, "card")
    again = load_served(tmp_path / "out")
    assert (again.label_names, again.text_columns, again.task_name) == (("negative", "positive"), ("sentence",), "sst2")
    alike(answer(again, [TEXT], Static(), 2.0).exits, answer(served, [TEXT], Static(), 2.0).exits)
    assert again.max_tokens == served.encoder.backbone.max_tokens
    with pytest.raises(UserError, match="no checkpoint together with an export; found 'best'"):
        load_served(tmp_path / "out", "best")


def test_directories_that_are_neither_run_nor_export_are_refused(tmp_path, tiny_backbone):
    with pytest.raises(UserError, match=r"neither config\.yaml nor config\.json"):
        load_served(tmp_path)
    with pytest.raises(UserError, match=r"an export of acl_lightning in .*; found a model of type 'bert'"):
        load_served(Path(tiny_backbone))
    with pytest.raises(UserError, match=r"neither config\.yaml nor config\.json"):
        demo_command(["--ckpt_path", str(tmp_path / "best.ckpt")])
    with pytest.raises(UserError, match="a run, an export or --ckpt_path; found none"):
        demo_command([])


def test_a_run_is_served(tiny_backbone, tmp_path):
    from finished_runs import finish_run

    directory = finish_run(tiny_backbone, tmp_path / "run")
    run = load_served(directory)
    assert list(run.points)[:2] == ["first", "drop0"]
    assert first_point(run) == "drop1"
    assert run.max_tokens == 32  # data.max_length
    assert run.temperatures_E is None
    long = answer(run, ["film " * 100], *run.points["first"])
    assert (long.num_tokens, long.truncated, long.exit_layer) == (32, True, 1)
    assert "(32 tokens, truncated)" in summary_html(long, 3)
    assert (run.label_names, run.text_columns, run.task_name) == (("negative", "positive"), ("sentence",), "sst2")
    found = answer(run, [TEXT], Static(), 1.0)
    checkpoint = directory / "checkpoints/best.ckpt"
    named = load_served(run_of(checkpoint), str(checkpoint))
    alike(answer(named, [TEXT], Static(), 1.0).exits, found.exits)


def test_the_first_point_is_the_recommended_one(served):
    assert first_point(served) == "drop1"
    assert first_point(dataclasses.replace(served, recommended_point=None)) == "drop0"
    assert first_point(dataclasses.replace(served, recommended_point="gone", points={})) is None


def test_a_calibrated_model_shows_calibrated_probabilities(served):
    temperatures_E = (0.5, 2.0, 4.0)
    calibrated = dataclasses.replace(served, temperatures_E=temperatures_E)
    with torch.no_grad():
        logits_EC = served.encoder(**served.tokenizer(TEXT, return_tensors="pt")).logits_EBC[:, 0]
    expected_EC = (logits_EC / torch.tensor(temperatures_E)[:, None]).softmax(dim=-1)
    for criterion in (Static(), criteria_for(calibrated)["confidence"]):
        found = answer(calibrated, [TEXT], criterion, 1.0)
        assert found.calibrated
        for one, expected_C in zip(found.exits, expected_EC.tolist(), strict=True):
            assert list(one.probabilities.values()) == pytest.approx(expected_C, abs=1e-6)
    # The certainty in the table is that of the calibrated probabilities.
    assert [one.certainty for one in found.exits] == pytest.approx(expected_EC.amax(dim=-1).tolist(), abs=1e-6)
    assert "Probabilities are calibrated." in summary_html(found, 3)
