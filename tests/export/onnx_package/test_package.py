"""Tests of `export --format onnx`: the package, its measurement, and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from packages import LAYERS, POINTS, tiny_encoder, write_package
from tiny_models import batch

from acl_lightning.cli import main
from acl_lightning.cli.export import main as export_command
from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence, MaxDrop, MinSpeedup
from acl_lightning.export.onnx_package import package as writer
from acl_lightning.export.onnx_package.graphs import segment_graph
from acl_lightning.export.onnx_package.segments import VARIANTS, Segment, example_inputs
from acl_lightning.export.onnx_package.selection import budget_named, swept
from acl_lightning.runs import load_run, read_result
from acl_lightning.runs.records import read_exit_logits
from acl_lightning.serving import AdaptiveSession


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    """A package of the finished run in fp32, and the run.

    The translation of a graph takes seconds: the graphs are kept for further exports of the run, and only whole layers
    are exported. `tests/serving` has packages with both variants.
    """
    graphs = {}

    def kept(segment, example):
        key = (segment.exit_, segment.variant)
        if key not in graphs:
            graphs[key] = segment_graph(segment, example).SerializeToString()
        return onnx.load_from_string(graphs[key])

    out = tmp_path_factory.mktemp("packages") / "package"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "segment_graph", kept)
        patch.setattr(writer, "has_row", lambda encoder, exit_: False)
        assert export_command([str(finished_run), "--out", str(out), "--format", "onnx"]) == 0
        yield out, finished_run


def test_a_package_agrees_with_its_run_sample_by_sample(exported):
    out, run = exported
    session, stored = AdaptiveSession(out, mode="throughput"), read_exit_logits(run)
    _, data = load_run(run)
    rows = data.rows(data.info.validation_splits[0])
    tokens = {name: values.numpy() for name, values in rows.__getitems__(stored.index_B.tolist()).items()}
    table = session.exit_logits({name: tokens[name] for name in session.manifest.inputs})
    torch.testing.assert_close(torch.from_numpy(table.logits_ENC), stored.logits_EBC, rtol=0, atol=1e-5)
    content = session.manifest.content
    assert content["agreement"]["largest_logit_difference"] < 1e-5
    assert all(point["other_exit"] == 0 for point in content["agreement"]["at_points_of_the_run"].values())
    quality_at = content["agreement"]["quality_at_points"]
    assert list(quality_at) == ["first", "drop0", "drop1", "drop2"]
    assert all(quality["drop_points"] == 0 for quality in quality_at.values())
    assert session.manifest.points == ("first", "drop0", "drop1", "drop2")
    assert content["operating_points"]["first"]["validation"]["exit_shares"] == [1.0, 0.0, 0.0]
    assert content["calibration"]["selection_rows"] + content["calibration"]["report_rows"] == len(stored.labels_B)


def test_no_file_holds_a_path_of_this_machine(exported):
    out, run = exported
    for path in out.iterdir():
        content = path.read_bytes()
        assert b"/site-packages/" not in content, path.name
        assert str(run.parent).encode() not in content, path.name
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o644}


def test_weights_are_stored_once(exported):
    out, _ = exported
    offsets = {
        (entry["offset"], name)
        for path in out.glob("*.onnx")
        for tensor in onnx.load(path, load_external_data=False).graph.initializer
        for entry in [{item.key: item.value for item in tensor.external_data}]
        if entry
        for name in [entry["length"]]
    }
    size = (out / "weights.bin").stat().st_size
    assert sum(int(length) for _, length in offsets) <= size <= sum(int(length) + 4096 for _, length in offsets)


def test_refusals_leave_nothing_behind(finished_run, tmp_path, monkeypatch):
    out = tmp_path / "package"
    few = "at least 100 validation rows, to measure a drop of 1 points in int8; found 16.*--max-drop 6.2 or more"
    with pytest.raises(UserError, match=few):
        export_command([str(finished_run), "--out", str(out), "--format=onnx", "--precision=int8"])
    with pytest.raises(UserError, match="a largest drop of 0 points or more; found -1"):
        export_command([str(finished_run), "--out", str(out), "--format=onnx", "--max-drop=-1"])
    with pytest.raises(UserError, match="--format onnx together with --precision"):
        export_command([str(finished_run), "--out", str(out), "--precision=int8"])
    with pytest.raises(UserError, match="Remove --onnx"):
        export_command([str(finished_run), "--out", str(out), "--format=onnx", "--onnx"])
    assert not out.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["full depth", "drop1"])
def test_a_package_of_worse_quality_is_refused_with_the_numbers(exported, tmp_path, monkeypatch, capsys, place):
    """The graphs of other weights stand for a conversion that changes the answers."""

    def damaged(*arguments):
        measured = measure(*arguments)
        same = {"torch": 0.9, "package": 0.9, "drop_points": 0.0}
        drop = {"torch": 0.9, "package": 0.775, "drop_points": 12.5}
        quality = {"quality": same, "quality_at_points": {"drop1": drop, "drop2": same}}
        if place == "full depth":
            quality = {"quality": drop, "quality_at_points": {"drop1": same}}
        return replace(measured, agreement={**measured.agreement, **quality})

    measure = writer.measure
    monkeypatch.setattr(writer, "measure", damaged)
    monkeypatch.setattr("sys.argv", ["acl_lightning"])
    out = tmp_path / "package"
    assert (
        main(["export", str(exported[1]), "--out", str(out), "--format=onnx", "--precision=int8", "--max-drop=10"]) == 2
    )
    message = capsys.readouterr().err
    assert "expected a drop of at most 10 points at full depth and at every operating point in int8; found" in message
    assert f"found 12.50 points at {place} (accuracy 0.9000 with torch, 0.7750 with the package), on 16 rows" in message
    assert "--max-drop 12.5" in message
    assert "--precision fp32" in message
    assert list(tmp_path.iterdir()) == []


def test_a_criterion_without_an_onnx_form_is_refused(finished_run, tmp_path, registries):
    from acl_lightning.exits import register

    @register
    class Mine(Confidence):
        name = "mine"

    run = shutil.copytree(finished_run, tmp_path / "run")
    result = json.loads((run / "result.json").read_text())
    result["recommended"]["drop1"]["exit"] = {"name": "mine", "settings": {}}
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"ONNX form \(confidence, .*found 'mine' at the operating point drop1"):
        export_command([str(run), "--out", str(tmp_path / "package"), "--format=onnx"])


def test_budgets_are_recognized_by_name():
    assert isinstance(budget_named("drop0.5"), MaxDrop)
    speed, flops = budget_named("speed2"), budget_named("flops3")
    assert isinstance(speed, MinSpeedup)
    assert isinstance(flops, MinSpeedup)
    assert (speed.times, speed.speed, flops.times, flops.speed) == (2, "layer_speedup", 3, "flops_speedup")
    assert budget_named("drop1_95").confidence == 0.95
    assert budget_named("drop1_measured") is budget_named("speed2_95") is budget_named("first") is None


def test_budgets_with_a_confidence_are_selected_where_nothing_is_fitted(finished_run):
    """As those that the command `points` added to a run that was calibrated."""
    stored, report = read_exit_logits(finished_run), read_result(finished_run).sweep_report
    wanted = {"drop1": report.recommended["drop1"], "drop1_95": report.recommended["drop1"]}
    selected = swept(stored, replace(report, calibrated=True, recommended=wanted))
    assert list(selected.recommended) == ["drop1", "drop1_95"]
    assert selected.temperatures_E is not None
    assert [point.confidence for point in selected.recommended.values()] == [None, 0.95]


@pytest.mark.parametrize("row", ["cls", "probe", "mean_pool"])
def test_segments_compute_what_the_encoder_does(row):
    encoder = tiny_encoder(row)
    inputs = batch([7, 3, 12])
    expected = encoder(**inputs)
    for variant in VARIANTS:
        segments = [Segment(encoder, exit_, variant, tuple(inputs)).eval() for exit_ in range(len(LAYERS))]
        for exit_, (segment, values) in enumerate(zip(segments, example_inputs(segments, inputs), strict=True)):
            logits_BC, gates_B = segment(*values)[:2]
            torch.testing.assert_close(logits_BC, expected.logits_EBC[exit_], rtol=0, atol=1e-4)
            torch.testing.assert_close(gates_B, expected.gates_EB[exit_], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 0.6), ("fp16", 0.1)])
def test_other_precisions_are_near_float32(precision, tolerance, word_tokenizer, tmp_path):
    points = {"entropy": {"criterion": POINTS["entropy"][0], "threshold": 0.3}}
    out = write_package(tmp_path / precision, word_tokenizer, points, precision=precision, variants=["row_first"])
    inputs = batch([9, 3, 12, 20])
    expected_EBC = tiny_encoder()(**inputs).logits_EBC.numpy()
    session = AdaptiveSession(out, "entropy")
    logits_EBC = session.exit_logits({name: values.numpy() for name, values in inputs.items()}).logits_ENC
    scale = expected_EBC.std()
    assert np.abs(logits_EBC - expected_EBC).max() < tolerance * scale
    assert np.abs(logits_EBC - expected_EBC).max() > 0
    assert (out / "weights.bin").stat().st_size < 60_000
