"""The commands `study run`, `study status` and `study slurm`."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "studies/trials"))

from trial_scripts import write_sweep

from acl_lightning.cli import main
from acl_lightning.studies.trials import Sweep, checking, runner

FIT = ["${env}", "python", "-m", "acl_lightning", "fit", "--config", "${args_json_file}"]


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "INTERVAL", 0.01)
    return tmp_path


def refused(capsys, *arguments: str) -> str:
    try:
        code = main(["study", *arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_a_study_runs_and_its_status_names_what_failed(tmp_path, capsys):
    write_sweep(tmp_path, parameters={"action": {"values": ["finish", "fail"]}, "x": {"values": [1]}})
    assert main(["study", "run", "sweep.yaml", "--set", "x=5,6", "--retries=0", "--workers=2"]) == 1
    assert "Study small: 2 of 4 trials finished, 0 running, 2 failed" in capsys.readouterr().out
    assert main(["study", "status", "sweep.yaml", "--set", "x=5,7"]) == 0
    shown = capsys.readouterr().out
    rows = dict(line.split("│")[1:3] for line in shown.splitlines() if line.startswith("│"))
    numbers = {name.strip(): int(number) for name, number in rows.items()}
    assert numbers == {"waiting": 2, "running": 0, "finished": 1, "failed": 1, "stale": 0, "total": 4}
    assert "failed: trial 2 (action=fail, x=5): exit code 1: RuntimeError: no luck" in shown
    assert main(["study", "run", "sweep.yaml", "--set=action=finish", "--set=x=5"]) == 0


def test_a_study_without_a_finished_trial_has_a_status(tmp_path, capsys):
    write_sweep(tmp_path)
    assert main(["study", "status", "sweep.yaml"]) == 0
    assert "Time left" not in capsys.readouterr().out


MISTAKES = {
    "command": (["rnu", "sweep.yaml"], "found rnu. Did you mean run?"),
    "workers": (["run", "sweep.yaml", "--workers=0"], "--workers: expected an integer of at least 1; found 0"),
    "index": (["run", "sweep.yaml", "--index=3"], "--index from 0 to 2 in sweep.yaml; found 3. Set --index 2."),
    "count": (["run", "sweep.yaml", "--count=3"], "no --count for the method grid"),
    "option": (["run", "sweep.yaml", "--retry=3"], "unrecognized arguments: --retry=3; see --help. Did you mean --ret"),
    "no count": (["run", "random.yaml"], "--count for the method random in random.yaml; found no --count"),
    "random": (["slurm", "random.yaml", "--out=x"], "--count for the method random in random.yaml; found no --count"),
    "bayes": (["slurm", "bayes.yaml", "--out=x", "--count=2"], "the method grid or random in bayes.yaml; found bayes"),
    "count and index": (["run", "random.yaml", "--count=2", "--index=0"], "--count or --index; found both"),
    "per device": (
        ["run", "sweep.yaml", "--per-device=2"],
        "--per-device with --devices, and without --workers; found",
    ),
    "per device and workers": (
        ["run", "sweep.yaml", "--devices=0", "--per-device=2", "--workers=3"],
        "and without --workers; found --per",
    ),
    "bayes index": (["run", "bayes.yaml", "--count=2", "--index=0"], "no --index for the method bayes in bayes.yaml"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_in_a_line(mistake, tmp_path, capsys):
    text = write_sweep(tmp_path).read_text()
    for method in ("random", "bayes"):
        (tmp_path / f"{method}.yaml").write_text(text.replace("method: grid", f"method: {method}"))
    arguments, expected = MISTAKES[mistake]
    assert expected in refused(capsys, *arguments)
    assert not Path("runs").exists()


def parse_here(sweep: object, requests: list[list[str]]) -> list[str | None]:
    """Run the program that parses settings in this process, which has imported Lightning."""
    from acl_lightning.cli.study import parsing

    output = io.StringIO()
    with mock.patch("sys.stdin", io.StringIO(json.dumps(requests))), mock.patch("sys.stdout", output):
        parsing.main()
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_the_check_of_settings_stops_at_the_first_mistake(monkeypatch):
    from acl_lightning.cli.study import parsing

    monkeypatch.setattr(parsing, "error_message", lambda arguments: None if arguments[0] == "good" else "wrong")
    assert list(parsing.messages([["good"], ["good"], ["bad"], ["good"]])) == [None, None, "wrong"]
    assert list(parsing.messages([["good"], ["good"]])) == [None, None]


def test_settings_are_parsed_by_a_program_and_its_crash_is_no_acceptance(tmp_path, capsys, monkeypatch):
    path = write_sweep(tmp_path, parameters={"a": {"values": [1, 2]}}, command=FIT)
    monkeypatch.setattr(checking, "PARSER", "answers")
    Path("answers.py").write_text("import json, sys\nfor line in json.load(sys.stdin): print('null')\n")
    sweep = Sweep.read(path)
    checking.check_settings(sweep, sweep.trials(Path("runs/trials")))
    assert "Checking the settings of 2 trials" in capsys.readouterr().out
    Path("answers.py").write_text("import sys\nprint('null')\nsys.exit('no memory')\n")
    with pytest.raises(RuntimeError, match="could not be parsed:\nno memory"):
        checking.check_settings(sweep, sweep.trials(Path("runs/trials")))


def test_settings_that_fit_refuses_are_named_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checking, "_messages", parse_here)
    parameters = {"config": {"values": ["objective/ce.yaml", "objective/acl.yaml"]}, "data.task": {"value": "rte"}}
    parameters |= {"model.objective.init_args.temperature": {"value": 0.1}}
    write_sweep(tmp_path, parameters=parameters, command=FIT)
    line = refused(capsys, "run", "sweep.yaml")
    assert line.startswith(
        "error: expected the name of a setting in trial 0 (config=ce, task=rte, temperature=0.1) of s"
    )
    assert "found model.objective.init_args.temperature" in line
    parameters = {"data.train_rows": {"values": [None, "many"]}, "trainer.gradient_clip_val": {"values": [0, 1.0]}}
    write_sweep(tmp_path, parameters=parameters, command=FIT)
    line = refused(capsys, "run", "sweep.yaml", "--set", "trainer.gradient_clip_val=0")
    assert "an integer or null for data.train_rows in trial 1 (train_rows=many, gradient_clip_val=0) of sweep" in line
    line = refused(capsys, "slurm", "sweep.yaml", "--out=array.sh", "--set", "data.train_rows=null")
    assert "Set --model.optimization.max_grad_norm=1.0." in line
    assert not Path("runs").exists()


def test_every_value_is_parsed_once_and_those_of_finished_trials_are_not(tmp_path):
    from acl_lightning import __version__
    from acl_lightning.studies.trials.checking import selection

    parameters = {"seed_everything": {"values": [1, 2]}, "a": {"values": [1, 2, 3]}, "b": {"values": ["x", "y"]}}
    trials = Sweep.read(write_sweep(tmp_path, parameters=parameters)).trials(Path("runs/trials"))
    assert [trial.number for trial in selection(trials)] == [0, 1, 2, 4]
    trials[3].directory.mkdir(parents=True)  # a = 2, b = y
    result = {"status": "finished", "versions": {"acl_lightning": __version__}}
    (trials[3].directory / "result.json").write_text(json.dumps(result))
    assert [trial.number for trial in selection(trials)] == [0, 4]


def run_task(index: int, **environment: str) -> subprocess.Popen:
    path = f"{Path.cwd() / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_NTASKS": "4", "SLURM_JOB_ID": "12", "PATH": path}
    repository = str(Path(__file__).parents[2])
    return subprocess.Popen(["bash", "array.sh"], env=os.environ | variables | {"PYTHONPATH": repository} | environment)


def test_a_task_of_a_slurm_array_runs_its_trial_and_is_requeued_at_the_time_limit(tmp_path, capsys):
    write_sweep(tmp_path, parameters={"action": {"values": ["finish", "wait"]}})
    assert main(["study", "slurm", "sweep.yaml", "--out", "array.sh", "--limit", "8"]) == 0
    script = Path("array.sh").read_text()
    assert "#SBATCH --array=0-1%8\n" in script
    assert "--trials runs/trials --runs runs --index" in script
    Path("bin").mkdir()
    Path("bin/scontrol").write_text('#!/bin/sh\necho "$@" > requeued\n')
    Path("bin/scontrol").chmod(0o755)
    tasks = [run_task(0), run_task(1)]
    assert tasks[0].wait(60) == 0
    deadline = time.monotonic() + 60
    while len(_outputs("device")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    tasks[1].send_signal(signal.SIGTERM)
    assert tasks[1].wait(60) == 143
    assert Path("requeued").read_text() == "requeue 12\n"
    Path("go").touch()
    assert run_task(1).wait(60) == 0
    assert len(list(Path("runs/trials").glob("*/result.json"))) == 2


def test_an_array_runs_the_samples_of_a_random_search_without_writing_to_its_storage(tmp_path, capsys):
    parameters = {"x": {"min": 0.0, "max": 1.0}, "action": {"value": "finish"}}
    path = write_sweep(tmp_path, method="random", parameters=parameters)
    for _ in range(2):  # the array may be written again
        assert main(["study", "slurm", str(path), "--out", "array.sh", "--count", "2"]) == 0
    assert "#SBATCH --array=0-1\n" in Path("array.sh").read_text()
    (storage,) = Path("runs/studies").glob("*/optuna.db")
    before = storage.read_bytes()
    storage.chmod(0o444)
    for index in (1, 0):
        assert main(["study", "run", str(path), "--index", str(index)]) == 0
    assert storage.read_bytes() == before
    assert len(list(Path("runs/trials").glob("*/result.json"))) == 2
    assert "--index from 0 to 1" in refused(capsys, "run", str(path), "--index", "2")


def test_a_program_that_cannot_be_started_is_named(tmp_path, capsys):
    path = write_sweep(tmp_path, command=["no-program", "${args}"])
    assert "No such file or directory: no-program. Begin command in" in refused(capsys, "run", str(path))


def _outputs(word: str) -> list[Path]:
    return [path for path in Path("runs/trials").glob("*/trial.log") if word in path.read_text()]
