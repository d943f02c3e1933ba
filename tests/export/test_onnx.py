"""Tests that the ONNX graph of an exit computes the logits of the exit, for every batch size and length."""

import sys

import pytest
import torch
from tiny_models import FAMILIES, batch, tiny

from acl_lightning.cli.export import main as export_command
from acl_lightning.encoders import EXIT_ROWS, MODEL_INPUTS, BertFamily, ExitHead, MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.export import ExitGraph, export_onnx
from acl_lightning.export.onnx_graph import TOLERANCE, example_batch, onnx_difference

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

SHAPES = [[1], [7], [6, 6, 6], [12, 3, 1, 7], [18, 2]]


def encoder(family: str, row: str) -> MultiExitEncoder:
    backbone = BertFamily(tiny(family))
    layers = (1, 3, 4)
    heads = [ExitHead(24, 3, pooler=True, pretrained_pooler=None, dropout=0.1) for _ in layers]
    return MultiExitEncoder(backbone, layers, [EXIT_ROWS[row](24) for _ in layers], heads)


#: Family, kind of exit row and exit layer: every family and every kind, since a translation takes seconds.
CASES = [
    *((family, "mean_row", None) for family in FAMILIES),
    *(("bert", "cls", 3), ("roberta", "mean_pool", 1), ("electra-projected", "probe", 4)),
]


@pytest.mark.parametrize(("family", "row", "exit_layer"), CASES)
def test_onnxruntime_agrees_at_every_shape(family, row, exit_layer, tmp_path):
    torch.manual_seed(0)
    model, path = encoder(family, row), tmp_path / "model.onnx"
    graph = ExitGraph(model, exit_layer)
    export_onnx(graph, path)
    index = model.exit_layers.index(graph.exit_layer)
    for lengths in SHAPES:
        inputs = batch(lengths)
        with torch.no_grad():
            expected_BC = model(**inputs).logits_EBC[index]
            torch.testing.assert_close(graph(**inputs), expected_BC, rtol=0, atol=1e-5)
        assert expected_BC.std() > 100 * TOLERANCE / 10  # the logits differ by more than the tolerance
        assert onnx_difference(graph, path, inputs) < TOLERANCE


def test_the_graph_of_an_exit_excludes_the_layers_above(tmp_path):
    model = encoder("bert", "mean_row")
    sizes = []
    for layer in (1, 4):
        export_onnx(ExitGraph(model, layer), tmp_path / f"{layer}.onnx")
        sizes.append((tmp_path / f"{layer}.onnx").stat().st_size)
    assert sizes[0] < 0.6 * sizes[1]


def test_a_tokenizer_without_token_types(tmp_path):
    graph = ExitGraph(encoder("roberta", "cls"))
    export_onnx(graph, tmp_path / "model.onnx", MODEL_INPUTS[:2])
    assert onnx_difference(graph, tmp_path / "model.onnx", example_batch([4, 9], MODEL_INPUTS[:2])) < TOLERANCE


def test_layers_without_exit_and_existing_files_are_refused(tmp_path):
    model = encoder("bert", "cls")
    with pytest.raises(UserError, match="an exit layer among 1, 3, 4; found 2"):
        ExitGraph(model, 2)
    (tmp_path / "there.onnx").write_text("mine")
    with pytest.raises(UserError, match="an ONNX file that does not exist yet"):
        export_onnx(ExitGraph(model), tmp_path / "there.onnx")
    assert (tmp_path / "there.onnx").read_text() == "mine"


def test_the_command_prints_the_difference_to_torch(finished_run, tmp_path, capsys):
    out = tmp_path / "model"
    assert export_command([str(finished_run), "--out", str(out), "--onnx", "--exit-layer", "2"]) == 0
    assert (out / "model.onnx").is_file()
    assert "exit at layer 2, within" in capsys.readouterr().out


def test_the_home_directory_is_expanded_and_files_are_readable_by_all(finished_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert export_command([str(finished_run), "--out=~/model", "--onnx"]) == 0
    out = tmp_path / "home/model"
    assert (out / "model.onnx").is_file()
    assert not list((tmp_path / "here").iterdir())
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o644}


def test_without_onnxruntime_nothing_is_written(finished_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"onnxruntime; found none installed.*acl-lightning\[onnx\]"):
        export_command([str(finished_run), "--out", str(tmp_path / "model"), "--onnx"])
    assert not (tmp_path / "model").exists()
