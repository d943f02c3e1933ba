"""Tests of the one-line errors about damaged or foreign exports, damaged results, and a full disk."""

import json
import resource
import shutil

import pytest

from acl_lightning.cli import main
from acl_lightning.demo import load_served
from acl_lightning.errors import UserError
from acl_lightning.export import export_run
from acl_lightning.export.directory import write_directory


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "model"
    export_run(finished_run, out)
    return out


def set_config(**changes):
    def change(directory):
        path = directory / "config.json"
        content = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({name: value for name, value in content.items() if value != "REMOVED"}))

    return change


def point(**changes):
    static = {"class_path": "acl_lightning.exits.criteria.static.Static", "init_args": {}}
    return {"damaged": {"criterion": static, "threshold": 1.0, "measured": {}, **changes}}


def write(name, content):
    def change(directory):
        (directory / name).write_bytes(content)

    return change


def half(name):
    def change(directory):
        path = directory / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def remove(*names):
    def change(directory):
        for name in names:
            (directory / name).unlink()

    return change


def swap_weights(directory):
    from safetensors.torch import load_file, save_file

    weights = load_file(directory / "model.safetensors")
    weights.pop(next(name for name in weights if "classifier.weight" in name))
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def another_width(directory):
    path = directory / "config.json"
    content = json.loads(path.read_text())
    content["backbone_config"]["hidden_size"] = 16
    path.write_text(json.dumps(content))


DAMAGES = {
    "config: no JSON": write("config.json", b"{half"),
    "config: empty": write("config.json", b""),
    "config: a list": write("config.json", b"[]"),
    "config: binary": write("config.json", bytes(range(256))),
    "config: BERT": write("config.json", b'{"model_type": "bert"}'),
    "config: no model type": set_config(model_type="REMOVED"),
    "config: no backbone": set_config(backbone_config="REMOVED"),
    "config: a foreign backbone": set_config(backbone_config={"model_type": "gpt2"}),
    "config: an unknown backbone": set_config(backbone_config={"model_type": "nothing"}),
    "config: another width": another_width,
    "config: no exits": set_config(exit_layers=[]),
    "config: exits too deep": set_config(exit_layers=[1, 2, 99]),
    "config: exits as text": set_config(exit_layers="123"),
    "config: one exit less": set_config(exit_layers=[1, 2]),
    "config: an unknown row": set_config(exit_row="best"),
    "config: three labels": set_config(id2label={"0": "a", "1": "b", "2": "c"}),
    "config: labels as a list": set_config(id2label=["a", "b"]),
    "config: no columns": set_config(text_columns=[]),
    "config: columns as text": set_config(text_columns="sentence"),
    "config: temperatures": set_config(temperatures=[1.0]),
    "config: a point as a list": set_config(operating_points=["drop1"]),
    "config: a point without threshold": set_config(operating_points=point(threshold=None)),
    "config: a point out of range": set_config(operating_points=point(threshold=-5)),
    "config: a point without class": set_config(operating_points=point(criterion={})),
    "config: a point of a foreign class": set_config(
        operating_points=point(criterion={"class_path": "os.system", "init_args": {"command": "true"}})
    ),
    "config: a point with odd settings": set_config(
        operating_points=point(criterion={"class_path": "acl_lightning.exits.PCEE", "init_args": {"bond": 1}})
    ),
    "weights: none": remove("model.safetensors"),
    "weights: half": half("model.safetensors"),
    "weights: text": write("model.safetensors", b"weights"),
    "weights: empty": write("model.safetensors", b""),
    "weights: one is missing": swap_weights,
    "tokenizer: none": remove("tokenizer.json", "tokenizer_config.json"),
    "tokenizer: half": half("tokenizer.json"),
    "tokenizer: empty": write("tokenizer.json", b""),
    "tokenizer: an object": write("tokenizer.json", b"{}"),
    "tokenizer: settings half": half("tokenizer_config.json"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_export_is_refused_with_one_line(exported, tmp_path, damage, capsys):
    directory = tmp_path / "model"
    shutil.copytree(exported, directory)
    load_served(directory)
    capsys.readouterr()
    DAMAGES[damage](directory)
    assert main(["demo", str(directory)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: expected "), error
    assert error.count("\n") == 1, error


ODD = {
    "recommended": [["drop1"], {"drop1": 3}, {"drop1": {"exit": "static", "threshold": 1}}, "drop1"],
    "calibrated": [True],
    "highlighted": [{}, ["drop1"]],
    "per_exit": [3, [3], [{"accuracy": 1.0}], {"layer": 1}, [{"layer": 1, "accuracy": "good"}]],
    "metric_names": [3, {"accuracy": 1}],
    "samples": ["many", 3],
    "versions": ["all", 3],
    "mean_num_tokens": ["many", []],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in ODD.items() for value in values])
def test_a_damaged_result_is_refused_with_one_line(finished_run, tmp_path, key, value, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, key: value, "calibration": [{"layer": 1}]}))
    code = main(["export", str(run), "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    if code == 0:  # the export does not need this entry
        assert key in {"highlighted", "metric_names", "mean_num_tokens"}
        return
    assert code == 2
    assert error.startswith("error: expected "), error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("checkpoint", [3, [], {"path": "best.ckpt"}])
def test_a_damaged_checkpoint_entry_is_refused_with_one_line(finished_run, tmp_path, checkpoint, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "checkpoint": checkpoint}))
    assert main(["export", str(run), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "result.json; found a damaged file (TypeError: checkpoint is not a text)" in error
    assert error.count("\n") == 1


@pytest.fixture
def small_disk():
    """Function that limits the size of files, so that writing fails in the middle of a file as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("size", [100, 20_000])
def test_a_full_disk_is_reported_and_nothing_is_left(finished_run, tmp_path, size, small_disk):
    small_disk(size)  # the configuration, the weights
    with pytest.raises(UserError, match=r"to write .*out; found .*too large.*Free space or choose another --out"):
        export_run(finished_run, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_at_the_tokenizer(exported, tmp_path, small_disk):
    class Model:
        def save_pretrained(self, directory):
            pass

    tokenizer = load_served(exported).tokenizer
    small_disk(20_000)
    with pytest.raises(UserError, match=r"to write .*out; found .*too large"):
        write_directory(tmp_path / "out", Model(), tokenizer, "card")
    assert list(tmp_path.iterdir()) == []
