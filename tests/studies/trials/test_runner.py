"""The runner: order, retries, reasons of failures, locks, interruption, and results that are not taken."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import pytest
from trial_scripts import small_sweep, write_sweep

from acl_lightning.errors import UserError
from acl_lightning.studies.trials import Sweep, TrialState, process, runner
from acl_lightning.studies.trials.locks import TrialLock
from acl_lightning.studies.trials.process import TrialProcess
from acl_lightning.studies.trials.progress import Counts
from acl_lightning.studies.trials.queue import GridQueue
from acl_lightning.studies.trials.runner import Runner, Slots
from acl_lightning.studies.trials.status import StudyStatus

ROOT = Path("runs/trials")
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "INTERVAL", 0.01)
    monkeypatch.setattr(runner, "INTERVAL_ELSEWHERE", 0.05)
    monkeypatch.setattr(process, "STOPPING", ((signal.SIGINT, 5.0), (signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0)))
    return tmp_path


def starts() -> list[str]:
    return Path("starts").read_text().split() if Path("starts").exists() else []


def wait_for(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(trials) -> list[str]:
    return [trial.state().value for trial in trials]


def test_a_failing_trial_is_repeated_and_reported_and_the_others_go_on(tmp_path, capsys):
    actions = ["fail", "finish", "fail once", "mistake", "memory", "half"]
    trials = small_sweep(tmp_path, action=actions).trials(ROOT)
    failures = Runner(GridQueue(trials), Slots(2), retries=1).run()
    assert states(trials) == ["failed", "finished", "finished", "failed", "failed", "failed"]
    assert [starts().count(trial.id) for trial in trials] == [2, 1, 2, 1, 2, 2]
    reasons = [failures[trials[number].label()] for number in (0, 3, 4, 5)]
    assert reasons[0] == "exit code 1: RuntimeError: no luck"
    assert reasons[1] == "exit code 2: error: expected a; found b. Set a."
    assert reasons[2].startswith("killed (signal 9), as the kernel does when memory runs out. Use fewer --workers.")
    assert reasons[3] == f"exit code 0, but no complete result in {trials[5].directory}"
    assert trials[0].failure() == reasons[0]
    assert (trials[2].directory / "trial.log").read_text().count("# ") == 2
    shown = capsys.readouterr().out
    assert "failed, to be repeated: trial 2 (action=fail once)" in shown
    assert "expected a; found b. Set a. Log: " in shown
    assert "6 of 6" not in shown
    assert "2 of 6 trials finished, 0 running, 4 failed" in shown.splitlines()[-1]
    StudyStatus.of("small", trials).show()
    shown = capsys.readouterr().out
    assert "failed: trial 0 (action=fail): exit code 1: RuntimeError: no luck" in shown
    assert "Time left: about 6 min divided by the number of workers." in shown  # 4 trials of 90 s


def test_finished_trials_are_not_repeated_and_failed_ones_are(tmp_path):
    trials = small_sweep(tmp_path, action=["finish", "fail once"]).trials(ROOT)
    assert Runner(GridQueue(trials), retries=0).run()
    assert Runner(GridQueue(trials), retries=0).run() == {}
    assert [starts().count(trial.id) for trial in trials] == [1, 2]
    assert not (trials[1].directory / "failure.json").exists()


def test_checkpoints_of_finished_trials_are_removed_on_request_only(tmp_path):
    kept, removed = small_sweep(tmp_path, x=[1, 2]).trials(ROOT)
    Runner(GridQueue([kept])).run()
    Runner(GridQueue([kept, removed]), discard_checkpoints=True).run()
    assert (kept.directory / "checkpoints/last.ckpt").exists()
    assert sorted(path.name for path in removed.directory.iterdir() if path.suffix != ".log") == [
        *("parameters.json", "result.json", "trial.json", "trial.lock"),
    ]


def test_a_damaged_result_is_kept_under_another_name_and_the_trial_runs(tmp_path):
    (trial,) = small_sweep(tmp_path, x=[1]).trials(ROOT)
    trial.directory.mkdir(parents=True)
    (trial.directory / "result.json").write_text('{"status": "finished"')
    assert trial.state() == TrialState.WAITING
    Runner(GridQueue([trial])).run()
    assert trial.state() == TrialState.FINISHED
    assert (trial.directory / "damaged-result.json").read_text() == '{"status": "finished"'


def test_results_of_another_version_are_stale_and_run_again_on_request(tmp_path):
    (trial,) = small_sweep(tmp_path, x=[1]).trials(ROOT)
    Runner(GridQueue([trial])).run()
    path = trial.directory / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"versions": {"acl_lightning": "0.2.0"}}))
    assert trial.state() == TrialState.STALE
    without = Runner(GridQueue([trial]))
    assert without.run() == {}
    assert (without.stale_trials, len(starts())) == (["0 (x=1)"], 1)
    Runner(GridQueue([trial]), stale=True).run()
    assert (trial.state(), len(starts())) == (TrialState.FINISHED, 2)
    (kept,) = ROOT.glob("*-stale-1")
    assert json.loads((kept / "result.json").read_text())["versions"] == {"acl_lightning": "0.2.0"}


def test_a_full_disk_stops_the_study_and_its_other_trials(tmp_path):
    trials = small_sweep(tmp_path, action=["wait", "disk", "finish"]).trials(ROOT)
    with pytest.raises(UserError, match=r"free space on the disk of runs/trials/.*Free disk space and repeat"):
        Runner(GridQueue(trials), Slots(2)).run()
    assert states(trials) == ["waiting"] * 3


def test_a_disk_that_is_too_full_for_the_files_of_a_trial_or_its_log_stops_the_study(tmp_path, monkeypatch):
    trials = small_sweep(tmp_path, action=["fail"]).trials(ROOT)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("acl_lightning.files.os.fsync", side_effect=full), pytest.raises(UserError, match="free space on"):
        Runner(GridQueue(trials)).run()
    monkeypatch.setattr(process.shutil, "disk_usage", lambda path: mock.Mock(free=0))
    with pytest.raises(UserError, match="Free disk space and repeat the command"):
        Runner(GridQueue(trials)).run()
    assert states(trials) == ["waiting"]


def test_trials_share_devices_in_turn_with_one_thread_each_on_cpus(tmp_path):
    trials = small_sweep(tmp_path, x=[1, 2, 3], action=["wait"]).trials(ROOT)
    threading.Timer(0.5, Path("go").touch).start()
    Runner(GridQueue(trials), Slots(3, ["0", "1"], threads=None)).run()
    devices = [(trial.directory / "trial.log").read_text().split("device ")[1][0] for trial in trials]
    assert devices == ["0", "1", "0"]
    assert Slots(1).environment(0)["OMP_NUM_THREADS"] == "1"


def test_more_workers_than_cores_warn():
    cores = len(os.sched_getaffinity(0))
    assert Slots(cores).warning() is None
    assert Slots(cores + 1).warning().startswith(f"--workers {cores + 1} is more than the {cores} cores")
    assert Slots(cores + 1, ["0"], None).warning() is None


def test_ctrl_c_stops_the_trials_at_last_by_sigkill(tmp_path):
    trials = small_sweep(tmp_path, action=["wait", "stubborn"]).trials(ROOT)
    run = Runner(GridQueue(trials), Slots(2))

    def interrupt():
        wait_for(lambda: "ready" in _log(trials[1]) and "device" in _log(trials[0]))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)  # does not wait for the end of the first patience

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert states(trials) == ["waiting", "waiting"]
    assert "KeyboardInterrupt" in _log(trials[0])


def _log(trial) -> str:
    path = trial.directory / "trial.log"
    return path.read_text() if path.exists() else ""


def study_run(*options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "acl_lightning", "study", "run", "sweep.yaml", *options]
    return subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, text=True
    )


def test_a_trial_that_outlives_its_killed_runner_is_not_started_twice(tmp_path):
    sweep = write_sweep(tmp_path, parameters={"x": {"values": [1, 2]}, "action": {"value": "wait"}})
    first = study_run()
    wait_for(lambda: len(starts()) == 1)
    first.kill()
    first.communicate()
    trials = Sweep.read(sweep).trials(ROOT)
    assert states(trials) == ["running", "waiting"]
    threading.Timer(0.5, Path("go").touch).start()
    assert Runner(GridQueue(trials), Slots(2)).run() == {}
    assert states(trials) == ["finished", "finished"]
    assert sorted(starts()) == sorted(trial.id for trial in trials)


def test_two_runners_share_the_trials_and_both_end_when_all_have_finished(tmp_path):
    write_sweep(tmp_path, parameters={"x": {"values": [1, 2, 3, 4]}})
    runners = [study_run("--workers", "1") for _ in range(2)]
    outputs = [run.communicate(timeout=60)[0] for run in runners]
    assert [run.returncode for run in runners] == [0, 0]
    assert len(starts()) == len(set(starts())) == 4
    assert all("4 of 4 trials finished" in output.splitlines()[-1] for output in outputs)


def test_a_lock_belongs_to_the_processes_that_inherit_it(tmp_path):
    (trial,) = small_sweep(tmp_path, action=["wait"]).trials(ROOT)
    lock = TrialLock.take(trial.directory)
    assert TrialLock.take(trial.directory) is None
    started = TrialProcess(trial, lock, {}, 1)
    lock.release()
    assert trial.state() == TrialState.RUNNING
    Path("go").touch()
    wait_for(lambda: started.exit_code() is not None)
    assert trial.state() == TrialState.FINISHED


def test_the_estimated_time_counts_what_running_trials_have_done():
    now = time.monotonic()
    counts = Counts(10, finished=3, failed=1, running={"a": now - 50, "b": now - 900}, seconds=[90.0, 110.0])
    # 6 trials of 100 s are left, of which 50 s and at most 100 s are done, on 3 places
    assert counts.seconds_left(3) == pytest.approx((600 - 150) / 3, abs=1)
    assert Counts(2).seconds_left(1) is None


@pytest.mark.slow
def test_a_killed_fit_continues_from_its_checkpoint(tmp_path, tiny_backbone, monkeypatch):
    """The trial is killed after its first checkpoint, and the second attempt finishes it."""
    settings = {
        "model.encoder.backbone": tiny_backbone,
        "data.source": "synthetic",
        "data.synthetic_rows": 512,
        "data.batch_size": 8,
        "data.max_length": 16,
        "trainer.max_epochs": 8,
        "trainer.accelerator": "cpu",
        "trainer.log_every_n_steps": 1,
        "last_checkpoint.every_n_steps": 5,
        "seed_everything": 1,
    }
    command = ["${env}", "python", "-m", "acl_lightning", "fit", "--config", "objective/ce.yaml", "${args}"]
    parameters = {name: {"value": value} for name, value in settings.items()}
    (trial,) = Sweep.read(write_sweep(tmp_path, parameters=parameters, command=command)).trials(ROOT)
    run = Runner(GridQueue([trial]))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def kill():
        wait_for((trial.directory / "checkpoints/last.ckpt").exists)
        run._running[0].send(signal.SIGKILL)

    threading.Thread(target=kill).start()
    assert run.run() == {}
    assert trial.state() == TrialState.FINISHED
    assert _log(trial).count("# ") == 2
    second = (trial.directory / "logs-1/metrics.csv").read_text().splitlines()
    column = second[0].split(",").index("step")
    assert min(int(row.split(",")[column]) for row in second[1:]) >= 5
