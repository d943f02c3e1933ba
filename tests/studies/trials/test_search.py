"""Random and Bayesian search: distributions, numbers of trials, resuming, and the metric."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from trial_scripts import write_sweep

from acl_lightning.cli import main
from acl_lightning.errors import UserError
from acl_lightning.studies.trials import Sweep, TrialState
from acl_lightning.studies.trials import runner as runner_module
from acl_lightning.studies.trials.checking import check_metric
from acl_lightning.studies.trials.listing import existing_trials
from acl_lightning.studies.trials.runner import Runner, Slots
from acl_lightning.studies.trials.search import SearchQueue, study_directory

ROOT = Path("runs/trials")

PARAMETERS = {
    "x": {"min": 0.0, "max": 1.0},
    "rate": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
    "count": {"min": 2, "max": 4},
    "step": {"distribution": "q_uniform", "min": 0, "max": 10, "q": 5},
    "normal": {"distribution": "normal", "mu": 3.0, "sigma": 0.5},
    "files": {"values": [["a", "b"], None, "c"]},
    "share": {"values": [1, 2], "probabilities": [0.9, 0.1]},
    "constant": {"value": True},
}


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner_module, "INTERVAL", 0.01)
    return tmp_path


def search(directory: Path, method: str = "random", **content) -> Sweep:
    metric = {"name": "score", "goal": "maximize"}
    content = {"method": method, "metric": metric, "parameters": {"x": {"min": 0.0, "max": 1.0}}, **content}
    return Sweep.read(write_sweep(directory, **content))


def write_result(trial, metrics: dict) -> None:
    from acl_lightning import __version__

    trial.directory.mkdir(parents=True, exist_ok=True)
    content = {"status": "finished", "metrics": metrics, "versions": {"acl_lightning": __version__}}
    (trial.directory / "result.json").write_text(json.dumps(content))


def test_samples_follow_the_distributions_of_wandb(tmp_path):
    samples = [t.parameters for t in SearchQueue(search(tmp_path, parameters=PARAMETERS), ROOT, 1).samples(120)]
    column = {name: [sample[name] for sample in samples] for name in PARAMETERS}
    assert np.mean(column["x"]) == pytest.approx(0.5, abs=0.08)
    assert np.mean(np.log10(column["rate"])) == pytest.approx(-3.5, abs=0.25)
    assert 1e-5 <= min(column["rate"]) < 3e-5 < 3e-3 < max(column["rate"]) <= 1e-2
    assert set(column["count"]) == {2, 3, 4}
    assert set(column["step"]) == {0, 5, 10}
    assert np.mean(column["normal"]) == pytest.approx(3.0, abs=0.15)
    assert np.std(column["normal"]) == pytest.approx(0.5, abs=0.1)
    assert all(value in column["files"] for value in (["a", "b"], None, "c"))
    assert np.mean(np.equal(column["share"], 1)) == pytest.approx(0.9, abs=0.06)
    assert set(column["constant"]) == {True}
    assert json.loads(json.dumps(samples)) == samples  # plain values


def test_a_search_continues_up_to_its_count_and_repeats_its_samples_elsewhere(tmp_path):
    sweep = search(tmp_path)
    Runner(SearchQueue(sweep, ROOT, 2), Slots(2)).run()
    again = Runner(SearchQueue(sweep, ROOT, 3))
    again.run()
    assert (again.counts.finished, again.counts.total) == (3, 3)
    started = Path("starts").read_text().split()
    assert len(started) == len(set(started)) == 3
    elsewhere = SearchQueue(sweep, Path("other/trials"), 3)
    assert {elsewhere.take().id for _ in range(3)} == set(started)
    assert elsewhere.take() is None


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_the_trials_that_exist_are_listed_and_nothing_is_written(tmp_path, method, capsys):
    sweep = search(tmp_path, method)
    assert existing_trials(sweep, ROOT) == ()
    assert not study_directory(sweep, ROOT).exists()
    queue = SearchQueue(sweep, ROOT, 3)
    drawn = [queue.take() for _ in range(3)]
    write_result(drawn[1], {"score": 0.5})
    assert existing_trials(sweep, ROOT) == tuple(drawn)
    assert existing_trials(sweep.overridden({"x": [1, 2]}), ROOT) == ()  # another search
    assert len(queue._study.trials) == 3
    assert main(["study", "status", "sweep.yaml", "--trials", str(ROOT)]) == 0
    shown = capsys.readouterr().out
    assert [int(number) for number in re.findall(r"│ +(\d+) │", shown)] == [2, 0, 1, 0, 0, 3]


def test_an_interrupted_trial_of_a_search_is_run_again(tmp_path):
    sweep = search(tmp_path)
    killed = SearchQueue(sweep, ROOT, 1).take()  # its runner is killed before the trial ends
    assert killed.state() == TrialState.WAITING
    queue = SearchQueue(sweep, ROOT, 1)
    assert queue.started
    Runner(queue).run()
    assert killed.state() == TrialState.FINISHED
    assert [frozen.value for frozen in queue._study.trials] == [killed.parameters["x"]]


def test_a_bayesian_search_improves_on_random_samples(tmp_path):
    sweep = search(tmp_path, "bayes")
    queue = SearchQueue(sweep, ROOT, 20)
    values = []
    while (trial := queue.take()) is not None:
        values.append(-((trial.parameters["x"] - 0.3) ** 2))
        write_result(trial, {"score": values[-1]})
        queue.done(trial)
    assert np.median(values[10:]) > 0.7 * np.median(values[:10])  # closer to 0
    assert queue._study.best_value == max(values)


def test_a_failed_trial_and_a_metric_that_is_not_finite_are_no_results(tmp_path):
    queue = SearchQueue(search(tmp_path, "bayes"), ROOT, 3)
    failed, infinite, finished = (queue.take() for _ in range(3))
    write_result(infinite, {"score": None})
    write_result(finished, {"score": 0.5})
    for trial in (failed, infinite, finished):
        queue.done(trial)
    assert [frozen.state.name for frozen in queue._study.trials] == ["FAIL", "FAIL", "COMPLETE"]


def test_another_definition_is_another_study_in_the_same_file(tmp_path):
    first = search(tmp_path)
    SearchQueue(first, ROOT, 1).take()
    second = search(tmp_path, parameters={"x": {"values": ["a", "b"]}})
    assert not SearchQueue(second, ROOT, 1).started
    assert [path.name for path in study_directory(first, ROOT).glob("*.db")] == ["optuna.db"]


def test_the_metric_is_one_that_trials_log(tmp_path):
    fit = ["python", "-m", "acl_lightning", "fit", "--config", "${args_json_file}"]
    with pytest.raises(UserError, match=r"a metric in sweep.yaml for the method bayes; found none. Set metric to"):
        check_metric(Sweep.read(_relative(write_sweep(tmp_path, method="bayes"))), [])
    sweep = search(tmp_path, "bayes", command=fit, metric={"name": "exti/area"})
    with pytest.raises(UserError, match=r"found exti/area. Did you mean exit/area\?"):
        check_metric(sweep, [])
    check_metric(search(tmp_path, "bayes", command=fit, metric={"name": "exit/drop3/quality"}), [])
    queue = SearchQueue(search(tmp_path), ROOT, 1)
    trial = queue.take()
    write_result(trial, {"scores": 1.0})
    with pytest.raises(UserError, match=r"the metric score in the result of trial 0 .*; found scores. Set metric.name"):
        queue.done(trial)
    with pytest.raises(UserError, match=r"found score. Did you mean scores\?"):
        check_metric(search(tmp_path), [trial])


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd())
