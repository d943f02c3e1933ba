"""Sweep files: what is read, the trials of a grid and their identities, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given, settings
from trial_scripts import write_sweep

from acl_lightning.errors import UserError
from acl_lightning.studies.trials import Sweep, TrialState
from acl_lightning.studies.trials.command import expand
from acl_lightning.studies.trials.identity import trial_id
from acl_lightning.studies.trials.values import parse_overrides

FIT = ["${env}", "python", "-m", "acl_lightning", "fit", "--config", "base.yaml", "--config", "${args_json_file}"]
ROOT = Path("runs/trials")


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text("data: {batch_size: 8}\n")
    (tmp_path / "first.yaml").write_text("data: {max_length: 16}\n")
    (tmp_path / "second.yaml").write_text("config: first.yaml\ndata: {task: rte}\n")
    return tmp_path


def test_a_grid_is_the_product_of_values_in_which_the_last_parameter_changes_fastest(tmp_path):
    parameters = {"config": {"values": ["first.yaml", ["first.yaml", "second.yaml"]]}, "a": {"value": None}}
    parameters |= {"b": {"parameters": {"c": {"min": 1, "max": 3}, "d": {"values": [True]}}}}
    sweep = Sweep.read(write_sweep(tmp_path, parameters=parameters, command=FIT, metric={"name": "exit/area"}))
    trials = sweep.trials(ROOT)
    assert [trial.parameters["b.c"] for trial in trials] == [1, 2, 3, 1, 2, 3]
    assert trials[3].parameters == {"config": ["first.yaml", "second.yaml"], "a": None, "b.c": 1, "b.d": True}
    assert [trial.number for trial in trials] == list(range(6))
    assert all(trial.directory == ROOT / trial.id and len(trial.id) == 16 for trial in trials)
    assert {trial.state() for trial in trials} == {TrialState.WAITING}
    assert (sweep.name, sweep.metric.name, sweep.metric.goal) == ("small", "exit/area", "minimize")


def test_set_replaces_the_values_of_a_parameter_and_adds_others(tmp_path):
    sweep = Sweep.read(write_sweep(tmp_path))
    overrides = parse_overrides(["x=7", "rate=1e-5,2.5E-4,null", "config=[first.yaml,second.yaml],base.yaml"])
    trials = sweep.trials(ROOT, overrides)
    assert len(trials) == 6
    assert {trial.parameters["x"] for trial in trials} == {7}
    assert [trial.parameters["rate"] for trial in trials[::2]] == [1e-5, 2.5e-4, None]
    assert trials[0].parameters["config"] == ["first.yaml", "second.yaml"]
    assert parse_overrides(["a={b: 1e-3, c: [2e-3]}"]) == {"a": [{"b": 1e-3, "c": [2e-3]}]}


@pytest.mark.parametrize("text", ["x", "=1", "x=", "x=[1", "x=1"])
def test_overrides_that_cannot_be_read(text):
    with pytest.raises(UserError, match=r"--set data.task=rte,cola"):
        parse_overrides(["x=0", text])


def test_the_identity_covers_the_contents_of_all_configuration_files_and_not_their_comments(tmp_path):
    def identity(**parameters):
        # a new process would read the files again
        from acl_lightning.studies.trials import identity

        identity._contents.cache_clear()
        return trial_id(FIT, {"config": ["second.yaml"], **parameters})

    before = identity()
    (tmp_path / "first.yaml").write_text("# a comment\ndata:\n  max_length: 16\n")
    assert identity() == before
    (tmp_path / "first.yaml").write_text("data: {max_length: 32}\n")
    changed = identity()
    (tmp_path / "base.yaml").write_text("data: {batch_size: 9}\n")
    assert len({before, changed, identity(), identity(seed_everything=1), identity(seed_everything=True)}) == 5


def test_the_identity_does_not_depend_on_machine_paths_or_on_how_fit_is_started(tmp_path, monkeypatch):
    (tmp_path / "base.yaml").write_text("data: {root: '${oc.env:ACL_LIGHTNING_GLUE,null}'}\n")
    first = trial_id(FIT, {"x": 1})
    monkeypatch.setenv("ACL_LIGHTNING_GLUE", "/elsewhere")
    assert trial_id(["acl-lightning", *FIT[4:]], {"x": 1}) == first
    assert trial_id([*FIT, "--trainer.max_epochs=2"], {"x": 1}) != first


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=3)


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from("abcd"), SCALARS | st.lists(SCALARS, max_size=2), min_size=1))
def test_the_identity_ignores_the_order_of_parameters_and_distinguishes_their_values(parameters):
    command = ["python", "script.py", "${args}"]
    backwards = dict(reversed(parameters.items()))
    assert trial_id(command, parameters) == trial_id(command, backwards)
    name = next(iter(parameters))
    assert trial_id(command, {**parameters, name: [parameters[name]]}) != trial_id(command, parameters)


def test_macros_are_those_of_the_agent(monkeypatch):
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    monkeypatch.setenv("WHERE", "here")
    parameters = {"a": 1e-5, "b": [1, None], "c": None, "d": True}
    command = ["${env}", "${interpreter}", "${program}", "--out=${envvar:WHERE}", "${args}", "${args_json}"]
    agents = create_sweep_command_args({"args": {key: {"value": value} for key, value in parameters.items()}})
    agents |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": ["p"]}
    expected = [part for item in create_sweep_command(list(command)) for part in agents.get(item[2:-1], [item])]
    assert expand(command, parameters, Path("file"), "p") == expected


def test_a_relative_or_absolute_file_of_parameters_is_named_in_the_command(tmp_path):
    trial = Sweep.read(write_sweep(tmp_path, command=FIT)).trials(ROOT)[0]
    assert trial.command_line()[:5] == ["/usr/bin/env", "python", "-m", "acl_lightning", "fit"]
    file = f"{trial.directory}/parameters.json"
    assert trial.command_line()[5:] == [
        *("--config", "base.yaml", "--config", file),
        *(f"--run_dir={trial.directory}", "--ckpt_path=auto"),
    ]


MISTAKES = {
    "key": ({"methd": "grid"}, "a valid key in sweep.yaml; found methd. Did you mean method?"),
    "method": ({"method": "gird"}, "a valid method in sweep.yaml; found gird. Did you mean grid?"),
    "custom": ({"method": "custom"}, "found custom. Choose one of grid, random, bayes."),
    "parameter key": ({"parameters": {"x": {"vlaues": [1]}}}, "found vlaues. Did you mean values?"),
    "parameter": ({"parameters": {"x": [1, 2]}}, "a mapping for parameters.x in sweep.yaml; found [1, 2]."),
    "no parameters": ({"parameters": {}}, "that W&B accepts in sweep.yaml; found {} "),
    "no values": ({"parameters": {"x": {"values": []}}}, "that W&B accepts"),
    "min": ({"parameters": {"x": {"min": 2, "max": 1}}}, "min 2 is not less than max 1"),
    "goal": ({"metric": {"name": "a", "goal": "max"}}, "'max' is not one of ['minimize', 'maximize']"),
    "command": ({"command": "python"}, "found 'python' is not of type 'array'"),
    "no command": ({"command": None}, "is not of type 'array'"),
    "empty command": ({"command": []}, "a list for command in sweep.yaml; found []. Set command to [python, -m,"),
    "macro": ({"command": ["python", "${arg}"]}, "found arg. Did you mean args?"),
    "no macro": ({"command": ["python", "x"]}, 'found python x. Add --config and "${args_json_file}"'),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_sweep_file_with_a_mistake(mistake, tmp_path):
    changes, expected = MISTAKES[mistake]
    write_sweep(tmp_path, **changes)
    with pytest.raises(UserError) as error:
        Sweep.read(Path("sweep.yaml"))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_sweeps(tmp_path):
    for content, expected in (("a: [", "YAML in sweep.yaml"), ("", "an empty file"), ("- 1", "a list")):
        Path("sweep.yaml").write_text(content)
        with pytest.raises(UserError, match=expected):
            Sweep.read(Path("sweep.yaml"))
    with pytest.raises(UserError, match=r"found No such file or directory: none.yaml. Set SWEEP to a file"):
        Sweep.read(Path("none.yaml"))


def test_grids_that_have_no_trials(tmp_path):
    def trials(**parameters):
        return Sweep.read(write_sweep(tmp_path, parameters=parameters, command=FIT)).trials(ROOT)

    with pytest.raises(UserError, match=r"a list of values for the parameter lr .* Set parameters.lr to {values"):
        trials(lr={"min": 0.1, "max": 0.2})
    with pytest.raises(UserError, match=r"found trials 0 \(x=1\) and 2 \(x=1\), which are the same"):
        trials(x={"values": [1, 2, 1]})
    with pytest.raises(UserError, match=r"no file fisrt.yaml"):
        trials(config={"values": ["first.yaml", "fisrt.yaml"]})


def test_shipped_sweeps_have_trials():
    """Every `experiments/*/sweep.yaml` is read and expanded, with different trials."""
    root = Path(__file__).parents[3]
    for path in sorted((root / "experiments").glob("*/sweep.yaml")):
        sweep = Sweep.read(path)
        assert len({trial.id for trial in sweep.trials(ROOT)}) > 1
        assert yaml.safe_load(path.read_text())["program"] == "acl_lightning"


def test_descriptions_are_json(tmp_path):
    (trial, *_) = Sweep.read(
        write_sweep(tmp_path, parameters={"config": {"value": "second.yaml"}}, command=FIT)
    ).trials(ROOT)
    trial.directory.mkdir(parents=True)
    trial.prepare()
    described = json.loads((trial.directory / "trial.json").read_text())
    assert described["id"] == trial.id
    assert described["configuration_files"] == ["base.yaml", "second.yaml"]
    assert json.loads((trial.directory / "parameters.json").read_text()) == {"config": "second.yaml"}
