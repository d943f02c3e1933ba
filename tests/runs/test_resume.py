"""A run that is killed and resumed ends, bit for bit, as one that was not: weights, optimiser, metrics, sweep.

Both run on the same machine.
"""

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from killed_runs import fit, killing, same, settings, state
from training_runs import command_line, in_processes

#: Place of the kill -> accumulation, the callback that kills, the step of the checkpoint that is left, --ckpt_path.
#: 8 micro-batches an epoch, 2 epochs, saved every 2 steps.
KILLS = {
    "between steps": (1, "killers.KillBeforeBatch(epoch=0, batch=5)", 4, "last"),
    "within a group": (2, "killers.KillBeforeBatch(epoch=1, batch=5)", 6, "auto"),
    "while saving": (1, "killers.KillWhileSaving(step=10)", 8, "auto"),
    "in validation": (2, "killers.KillInValidation(epoch=0)", 2, "auto"),
}


@pytest.fixture(scope="module")
def undisturbed(tiny_backbone, tmp_path_factory):
    """accumulate -> the directory of a run that nobody killed."""
    runs = {}

    def run(accumulate: int) -> Path:
        if accumulate not in runs:
            runs[accumulate] = tmp_path_factory.mktemp("undisturbed") / "run"
            assert fit(tiny_backbone, runs[accumulate], accumulate) == 0
        return runs[accumulate]

    return run


def metrics_by_step(run: Path) -> dict[tuple[str, str], str]:
    """(column, step) -> last logged value, over the logs of all parts of a run."""
    values = {}
    for log in sorted(run.glob("logs*/metrics.csv")):
        with log.open() as table:
            for row in csv.DictReader(table):
                values |= {(name, row["step"]): value for name, value in row.items() if value}
    return values


@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_run_resumes_bit_for_bit(kill, undisturbed, tiny_backbone, tmp_path):
    accumulate, callback, saved_step, resume = KILLS[kill]
    expected, run = undisturbed(accumulate), tmp_path / "run"
    assert fit(tiny_backbone, run, accumulate, *killing(callback)) == -signal.SIGKILL
    assert not (run / "result.json").exists()
    last = run / "checkpoints/last.ckpt"
    left = torch.load(last, weights_only=True)
    assert left["global_step"] == saved_step
    assert not same(left["state_dict"], state(expected / "checkpoints/last.ckpt")["state_dict"])

    before = metrics_by_step(run)
    assert max(int(step) for _, step in before) >= saved_step - 1, "what was logged before the kill is kept"

    assert fit(tiny_backbone, run, accumulate, f"--ckpt_path={resume}") == 0
    assert not list(run.rglob(".*")), "neither lock nor temporary file"
    for name in ("last.ckpt", "best.ckpt"):
        first, second = state(expected / "checkpoints" / name), state(run / "checkpoints" / name)
        different = [key for key in first if not same(first[key], second[key])]
        assert different == [], name
    results = [json.loads((directory / "result.json").read_text()) for directory in (expected, run)]
    for key in ("status", "metrics", "per_exit", "full_depth", "recommended"):
        assert results[0][key] == results[1][key], key
    assert (expected / "exit_sweep.csv").read_bytes() == (run / "exit_sweep.csv").read_bytes()
    assert metrics_by_step(run).keys() >= before.keys()
    assert metrics_by_step(run).items() >= {
        (place, value) for place, value in metrics_by_step(expected).items() if int(place[1]) > saved_step
    }


def slurm(requeued: Path, restarts: int, arguments: list[str]) -> None:
    """Run a command in a SLURM job of one task, where `scontrol` records its arguments and ends the job."""
    job = {"JOB_ID": 7, "JOB_NAME": "fit", "NTASKS": 1, "PROCID": 0, "LOCALID": 0, "NODEID": 0}
    os.environ.update({f"SLURM_{name}": str(value) for name, value in job.items()})
    os.environ["SLURM_RESTART_COUNT"] = str(restarts)
    requeued.parent.mkdir(exist_ok=True)
    scontrol = requeued.with_name("scontrol")
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {requeued}\nkill -TERM $PPID\n')
    scontrol.chmod(0o755)
    os.environ["PATH"] = f"{requeued.parent}:{os.environ['PATH']}"
    command_line(arguments)


#: Place of SIGUSR1 -> accumulation, the batch of the first epoch before which it comes, the step that is resumed from.
#: The validation has one batch, so it ends, and the epoch with it, before SIGTERM stops the run.
WARNINGS = {"within a group": (2, 4, 3), "before a validation": (1, 7, 8)}


@pytest.mark.parametrize("place", WARNINGS)
def test_a_requeued_slurm_job_continues_bit_for_bit(place, undisturbed, tiny_backbone, tmp_path):
    """The same command twice, without --ckpt_path."""
    accumulate, batch, step = WARNINGS[place]
    run, requeued = tmp_path / "run", tmp_path / "bin/requeued"
    callback = f"killers.SignalBeforeBatch(epoch=0, batch={batch}, name=SIGUSR1)"
    command = ["fit", *settings(tiny_backbone, run, accumulate), *killing(callback)]
    assert in_processes(slurm, requeued, 0, command) == [128 + signal.SIGTERM]
    assert requeued.read_text() == "requeue 7\n"
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "interrupted"
    saved = [*run.glob("hpc_ckpt_1.ckpt"), run / "checkpoints/last.ckpt"]
    assert max(torch.load(path, weights_only=True)["global_step"] for path in saved if path.exists()) == step

    assert in_processes(slurm, requeued, 1, command) == [0]
    assert requeued.read_text() == "requeue 7\n"
    expected = undisturbed(accumulate)
    for name in ("last.ckpt", "best.ckpt"):
        first, second = state(expected / "checkpoints" / name), state(run / "checkpoints" / name)
        assert same(first["state_dict"], second["state_dict"]), name
        assert same(first["optimizer_states"], second["optimizer_states"]), name
    assert not list(run.glob("hpc_ckpt*"))
    assert json.loads((run / "result.json").read_text())["status"] == "finished"


def test_a_kill_in_the_first_save_blocks_nothing(tiny_backbone, tmp_path):
    run = tmp_path / "run"
    assert fit(tiny_backbone, run, 1, *killing("killers.KillWhileSaving(step=2)")) == -signal.SIGKILL
    assert list((run / "checkpoints").glob(".last-*.ckpt"))
    assert fit(tiny_backbone, run, 1, "--trainer.max_epochs=1", "--ckpt_path=auto") == 0
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_resuming_what_was_never_saved_is_refused(command, tmp_path):
    code, error = command("fit", f"--run_dir={tmp_path / 'run'}", "--ckpt_path=last")
    assert code == 2
    assert error == (
        f"error: expected a checkpoint at {tmp_path / 'run/checkpoints/last.ckpt'}; found no such file. "
        "Checkpoints lie in RUN/checkpoints/. Set --ckpt_path=auto to start anew where none was saved.\n"
    )
