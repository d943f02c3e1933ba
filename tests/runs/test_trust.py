"""A received run is data: nothing that it names is imported or run, and it writes into itself only."""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from finished_runs import finish_run
from jsonargparse import _common
from omegaconf import OmegaConf

from acl_lightning import pretrained
from acl_lightning.__main__ import forget_working_directory
from acl_lightning.callbacks import RepresentationDiagnostics
from acl_lightning.errors import UserError
from acl_lightning.exits import criterion_class
from acl_lightning.exits.criteria import registry
from acl_lightning.pretrained import resolve_pretrained
from acl_lightning.runs import load_run, trust
from acl_lightning.runs.trust import check_classes, known_cache, only_trusted_classes, split_trust


def touch(path):
    """A line of code that leaves an empty file."""
    return f"import pathlib; pathlib.Path({str(path)!r}).touch()\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_backbone):
    return finish_run(tiny_backbone, tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture
def received(trained, tmp_path, monkeypatch):
    """A copy of a run, which is also the working directory and importable; `planted.py` in it leaves `ran` behind."""
    directory = tmp_path / "received"
    shutil.copytree(trained, directory)
    (directory / "planted.py").write_text(
        touch(tmp_path / "ran")
        + "from acl_lightning.exits import Confidence\nfrom acl_lightning.objectives import WeightedObjective\n"
        "class Mine(WeightedObjective): ...\nclass Sure(Confidence):\n    name = 'sure'\n"
    )
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(directory)
    monkeypatch.setattr(trust, "_trusted", [])
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    yield directory
    sys.modules.pop("planted", None)


def change(directory, **sections):
    """Merge settings into a run's configuration."""

    def merged(old, new):
        both = isinstance(old, dict) and isinstance(new, dict) and "class_path" not in new
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}} if both else new

    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(merged(yaml.safe_load(path.read_text()), sections)))


SYSTEM = {"class_path": "os.system", "init_args": {"command": "touch ../ran"}}
PLANTED = {"class_path": "planted.Mine"}
COMBINED = "acl_lightning.objectives.WeightedObjective"

#: Settings of the section `model` that would run code if their classes were imported or called.
HOSTILE = {
    "command": {"objective": SYSTEM},
    "module in the working directory": {"objective": PLANTED},
    "bare string": {"objective": "planted.Mine"},
    "bare command": {"gradient_rule": "os.system"},
    "in a dictionary": {"objective": {"class_path": COMBINED, "init_args": {"auxiliary": PLANTED}}},
    "in a list": {"objective": {"class_path": COMBINED, "init_args": {"auxiliary": [PLANTED]}}},
    "bare string in a list": {"objective": {"class_path": COMBINED, "init_args": {"auxiliary": ["planted.Mine"]}}},
    "beside the arguments": {"objective": {"class_path": COMBINED, "auxiliary": PLANTED}},
    "a module that ours has imported": {"objective": "acl_lightning.files.os.system"},
    "a package named like ours": {"objective": {"class_path": "acl_lightning_planted.Mine"}},
    "where no class is expected": {"encoder": {"dropout": PLANTED}},
    "in a setting that is text": {"task_name": PLANTED},
}


@pytest.mark.parametrize("settings", HOSTILE.values(), ids=list(HOSTILE))
def test_a_run_that_names_foreign_code_is_refused_before_it_is_imported(received, settings):
    change(received, model=settings)
    with pytest.raises(UserError):
        load_run(received)
    assert not (received.parent / "ran").exists()
    assert "planted" not in sys.modules


@pytest.mark.parametrize("name", ["command", "module in the working directory", "bare string", "in a list"])
def test_the_refusal_names_the_class_and_trust_in_one_line(received, name):
    change(received, model=HOSTILE[name])
    with pytest.raises(UserError, match=r"classes of acl_lightning.*; found (os\.system|planted\.Mine)\. .*--trust "):
        load_run(received)


PREDICT = ("predict", "--config=config.yaml", "--ckpt_path=checkpoints/best.ckpt", "--run_dir=../out")


@pytest.mark.parametrize(
    "sections",
    [
        *({"model": settings} for settings in HOSTILE.values()),
        {"exit": {"criterion": {"class_path": "planted.Sure"}, "threshold": 0.5}},
        {"exit": {"criterion": "planted.Sure", "threshold": 0.5}},
        {"exit_sweep": {"criteria": ["acl_lightning.exits.Entropy", "planted.Sure"]}},
        {
            "exit_sweep": {
                "criteria": [
                    {
                        "class_path": "acl_lightning.exits.Calibrated",
                        "init_args": {"criterion": {"class_path": "planted.Sure"}, "temperatures_E": [1.0]},
                    }
                ]
            }
        },
        {"trainer": {"callbacks": [PLANTED]}},
        {"trainer": {"logger": ["planted.Mine"]}},
        {"trainer": {"profiler": "planted.Mine"}},
        {"trainer": {"plugins": ["planted.Mine"]}},
        {
            "trainer": {
                "callbacks": [
                    {
                        "class_path": "lightning.pytorch.callbacks.LambdaCallback",
                        "init_args": {"on_predict_start": "planted.Mine"},
                    }
                ]
            }
        },
        {"data": {"root": "${oc.env:HOME}"}},
        {"data": {"root": "${oc.coerce:planted.Mine,1}"}},
        {"data": {"root": "${oc.decode:'${oc.env:HOME}'}"}},
    ],
    ids=str,
)
def test_predict_refuses_foreign_code_in_a_runs_configuration(received, command, sections, monkeypatch):
    monkeypatch.chdir(received)
    change(received, **sections)
    code, error = command(*PREDICT, defaults=False)
    assert (code, error.count("\n")) == (2, 1)
    assert not (received.parent / "ran").exists()
    assert "planted" not in sys.modules
    assert not (received.parent / "out").exists()


def test_predict_runs_no_yaml_tag(received, command, monkeypatch):
    monkeypatch.chdir(received)
    text = (received / "config.yaml").read_text()
    (received / "config.yaml").write_text(f"x: !!python/object/apply:os.system ['touch ../ran']\n{text}")
    with pytest.raises(UserError, match="found a damaged file"):
        load_run(received)
    assert command(*PREDICT, defaults=False)[0] == 2
    assert not (received.parent / "ran").exists()


def test_the_refusal_on_the_command_line_names_trust(received, command, monkeypatch):
    monkeypatch.chdir(received)
    change(received, exit={"criterion": "planted.Sure", "threshold": 0.5})
    _, error = command(*PREDICT, defaults=False)
    assert "found planted.Sure. If you trust the code that defines it, add --trust planted." in error


def test_what_the_user_trusts_is_used(received, command, monkeypatch):
    monkeypatch.chdir(received)
    change(received, model={"objective": PLANTED}, exit={"criterion": "planted.Sure", "threshold": 0.5})
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(received)])
    code, error = command(*PREDICT, "--trust", "planted", defaults=False)
    assert (code, error) == (0, "")
    assert (received.parent / "ran").exists()
    assert criterion_class("sure").__module__ == "planted"
    assert type(load_run(received)[0].objective).__module__ == "planted"


def test_fit_takes_a_configuration_as_the_users_code(received, command, monkeypatch):
    monkeypatch.chdir(received)
    assert command("fit", "--model.objective=planted.Mine", "--trainer.fast_dev_run=true") == (0, "")
    assert (received.parent / "ran").exists()


def test_predict_and_validate_take_the_configuration_of_an_ordinary_run(received, command, monkeypatch):
    monkeypatch.chdir(received)
    callback = {"class_path": "acl_lightning.callbacks.RepresentationDiagnostics"}
    early = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "val/selection"}}
    logger = {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": {"save_dir": "runs"}}
    change(received, trainer={"callbacks": [callback, early], "logger": logger})
    assert RepresentationDiagnostics
    for name in ("validate", "predict"):
        arguments = (name, *PREDICT[1:-1], f"--run_dir=../{name}")
        assert command(*arguments, "--exit.operating_point=first", defaults=False) == (0, "")


class Command:
    """Pickled, it runs a command when it is loaded."""

    def __init__(self, line):
        self.line = line

    def __reduce__(self):
        return os.system, (self.line,)


@pytest.mark.parametrize("hostile", [True, False])
def test_a_checkpoint_holds_no_code_whatever_the_configuration_says(received, command, monkeypatch, hostile):
    monkeypatch.chdir(received)
    change(received, weights_only=False)
    if hostile:
        content = torch.load("checkpoints/best.ckpt") | {"extra": Command(f"touch {received.parent / 'ran'}")}
        torch.save(content, "checkpoints/best.ckpt")
        with pytest.raises(UserError, match="a file that cannot be loaded"):
            load_run(received)
    code, error = command(*PREDICT, defaults=False)
    assert (code, error.count("\n")) == (2, 1)
    assert not (received.parent / "ran").exists()


def outside(received, **settings):
    change(received, **settings)
    return ("--run_dir=../out",)


def absolute(received):
    return outside(received, exit={"output": str(received.parent / "taken")})


def climbing(received):
    return outside(received, exit={"output": "../taken"})


def home(received):
    return outside(received, exit={"output": "~/taken"})


def other_run(received):
    change(received, run_dir=str(received.parent / "other"))
    return ()


def through_a_link(received):
    (received / "link").symlink_to(received.parent)
    change(received, run_dir=str(received), exit={"output": "link/taken"})
    return ()


def linked_part(received):
    (received / ".predictions.jsonl-1.part").symlink_to(received.parent / "taken")
    return ("--run_dir=.",)


def logger(received):
    path = "lightning.pytorch.loggers.TensorBoardLogger"
    init_args = {"save_dir": "runs", "sub_dir": str(received.parent / "taken")}
    return outside(received, trainer={"logger": {"class_path": path, "init_args": init_args}})


@pytest.mark.parametrize("trick", [absolute, climbing, home, other_run, through_a_link, linked_part, logger])
def test_a_received_run_writes_nowhere_else(received, command, monkeypatch, trick):
    monkeypatch.chdir(received)
    monkeypatch.setenv("HOME", str(received.parent))
    (received.parent / "taken").write_text("mine")
    arguments = trick(received)
    before = {path.name for path in received.parent.iterdir()}
    code, error = command(*PREDICT[:-1], *arguments, defaults=False)
    assert (code, error.count("\n")) == (2, 1)
    assert "--" in error
    assert (received.parent / "taken").read_text() == "mine"
    assert {path.name for path in received.parent.iterdir()} == before


def test_the_command_line_may_write_anywhere(received, command, monkeypatch):
    monkeypatch.chdir(received)
    change(received, run_dir=str(received.parent / "other"), exit={"output": "../elsewhere"})
    output = received.parent / "asked-for"
    assert command(*PREDICT, f"--exit.output={output}", defaults=False) == (0, "")
    assert output.is_file()
    assert not (received.parent / "other").exists()


def test_a_run_may_keep_its_own_directory(received, command, monkeypatch):
    monkeypatch.chdir(received.parent)
    change(received, run_dir="received")
    arguments = ("predict", "--config=received/config.yaml", "--ckpt_path=received/checkpoints/best.ckpt")
    assert command(*arguments, defaults=False) == (0, "")
    assert (received / "predictions.jsonl").is_file()


def test_a_cache_is_only_used_where_there_is_one_already(tmp_path):
    assert known_cache(str(tmp_path)) is None
    (tmp_path / "acl_lightning").mkdir()
    assert known_cache(str(tmp_path)) == str(tmp_path)


def test_an_environment_variable_is_not_read_into_a_loaded_run(received, monkeypatch):
    monkeypatch.setenv("SECRET", "opened")
    change(received, data={"root": "${oc.env:SECRET}"})
    with pytest.raises(UserError) as refused:
        load_run(received)[1].rows("validation")
    assert "opened" not in str(refused.value)


def test_the_libraries_are_as_before_afterwards(monkeypatch):
    monkeypatch.setenv("PLAIN", "value")
    before = dict(_common.parsing_settings)
    with pytest.raises(ZeroDivisionError), only_trusted_classes():
        raise ZeroDivisionError
    assert _common.parsing_settings == before
    assert OmegaConf.create({"a": "${oc.env:PLAIN}"}).a == "value"


def test_class_paths_are_found_wherever_they_hide(tmp_path):
    for hidden in (
        {"class_path": "os.system"},
        [{"a": ({"class_path": "os.system"},)}],
        {"class_path": COMBINED, "init_args": {"x": {"y": [{"class_path": "os.system"}]}}},
        {"class_path": {"class_path": "os.system"}},
        {"class_path": "acl_lightning_evil.X"},
    ):
        with pytest.raises(UserError, match="--trust"):
            check_classes(hidden, tmp_path / "config.yaml")
    check_classes({"class_path": COMBINED, "init_args": {"weight": 0.5}}, tmp_path)


@pytest.mark.parametrize("name", ["", "no spaces", "jsonargparse", "../x", "a..b", "missing_module", "json.Missing"])
def test_trust_of_nothing_is_refused(name, monkeypatch):
    monkeypatch.setattr(trust, "_trusted", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(UserError, match="--trust"):
        trust.trust([name])
    assert trust._trusted == []


def test_trust_is_taken_out_of_the_command_line():
    rest = ["export", "RUN", "--out", "X"]
    assert split_trust(["export", "--trust", "a.b", "RUN", "--trust=c", "--out", "X"]) == (rest, ["a.b", "c"])
    assert split_trust(["fit", "--trust"]) == (["fit"], [""])


def test_weights_of_a_package_run_none_of_its_code(tmp_path, monkeypatch):
    (tmp_path / "weighty/inner/model").mkdir(parents=True)
    for package in ("weighty", "weighty/inner"):
        (tmp_path / package / "__init__.py").write_text(touch(tmp_path / "ran"))
    (tmp_path / "weighty/inner/model/config.json").write_text("{}")
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    pretrained._package_directory.cache_clear()
    assert resolve_pretrained("package:weighty.inner/model") == str(tmp_path / "weighty/inner/model")
    assert resolve_pretrained("package:weighty/inner/model") == str(tmp_path / "weighty/inner/model")
    for source in ("package:weighty/../", "package:weighty//", "package:..weighty/x", "package:__main__/x"):
        with pytest.raises(UserError):
            resolve_pretrained(source)
    assert not (tmp_path / "ran").exists()
    assert "weighty" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["fit", "--config", "x"], True),
        (["--config", "x", "fit"], True),
        (["predict"], False),
        (["demo", "fit"], False),
        (["--config", "fit", "validate"], False),
        ([], False),
    ],
)
def test_only_fit_imports_from_the_working_directory(tmp_path, monkeypatch, arguments, kept):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/elsewhere"])
    forget_working_directory(arguments)
    assert sys.path == (["", str(tmp_path), "/elsewhere"] if kept else ["/elsewhere"])


@pytest.mark.parametrize(("command", "checked"), [("fit", False), ("test", True)])
def test_only_fit_takes_classes_that_are_not_trusted(monkeypatch, command, checked):
    from acl_lightning.cli import trainer

    entered = []
    monkeypatch.setattr(trainer, "CommandLine", lambda *_: None)
    monkeypatch.setattr(trainer, "only_trusted_classes", lambda: contextlib.nullcontext(entered.append(True)))
    assert trainer.run_trainer(["--config", "x", command], None) == 0
    assert bool(entered) == checked


def test_a_file_beside_a_received_run_is_not_taken_for_a_library(received):
    change(received, model={"objective": PLANTED})
    for library in ("yaml", "torch", "lightning", "matplotlib", "json"):
        (received / f"{library}.py").write_text(touch(received.parent / "ran"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(Path(trust.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-m", "acl_lightning", "export", ".", "--out", "../export"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 2
    assert "found planted.Mine" in ended.stderr
    assert not (received.parent / "ran").exists()
    assert json.loads((received / "result.json").read_text())["status"] == "finished"
