"""Choice and creation of run directories, and the checkpoint that a command starts from."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from acl_lightning.errors import UserError
from acl_lightning.files import remove_temporary_files
from acl_lightning.runs.checkpoints import (
    CHECKPOINT_ENVIRONMENT,
    find_checkpoint,
    newest_checkpoint,
    shared_checkpoint,
)
from acl_lightning.runs.directory import choose_run_directory
from acl_lightning.runs.processes import ENVIRONMENT

LAUNCHERS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "SLURM_NTASKS")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """A process that no launcher started, in an empty directory."""
    for name in (*LAUNCHERS, ENVIRONMENT, CHECKPOINT_ENVIRONMENT):
        monkeypatch.setenv(name, "")  # so that what a test sets is undone
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def checkpoint(path: Path, step: int) -> Path:
    """What a checkpoint must hold to be taken for one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.6", "global_step": step}, path)
    return path


@pytest.mark.parametrize("command", ["fit", "validate", "predict"])
def test_commands_of_the_same_second_get_directories_of_their_own(command, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda _: "20300101-000000")
    with ThreadPoolExecutor(8) as pool:
        directories = list(pool.map(lambda _: choose_run_directory(None, command, "rte", "abc", None), range(8)))
    assert len(set(directories)) == 8
    assert all(directory.is_dir() for directory in directories)


def test_child_processes_share_the_directory_and_the_checkpoint(monkeypatch, tmp_path):
    last = checkpoint(tmp_path / "run/checkpoints/last.ckpt", 1)
    chosen = shared_checkpoint("auto", "run", "fit"), choose_run_directory("run", "fit", "rte", "abc", str(last))
    monkeypatch.setenv("LOCAL_RANK", "1")
    last.unlink()
    assert (shared_checkpoint("auto", "run", "fit"), choose_run_directory(None, "fit", "rte", "abc", None)) == chosen


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_NTASKS"])
def test_processes_started_together_need_a_common_directory(variable, monkeypatch):
    monkeypatch.setenv(variable, "2")
    with pytest.raises(UserError, match="--run_dir with processes that torchrun or srun started"):
        choose_run_directory(None, "fit", "rte", "abc", None)


def test_temporary_files_are_no_checkpoints_and_are_removed(tmp_path):
    leaked = checkpoint(tmp_path / "run/checkpoints/.last-ab_3defg.ckpt", 1)
    kept = {leaked.with_name(name) for name in (".last.ckpt", ".predictions.jsonl-0123abcd.part")}
    for path in kept:
        path.touch()
    assert choose_run_directory("run", "fit", "rte", "abc", None) == Path("run")
    remove_temporary_files(leaked.parent)
    assert set(leaked.parent.iterdir()) == kept


def test_auto_takes_the_newest_undamaged_checkpoint(tmp_path):
    run = tmp_path / "run"
    assert newest_checkpoint(run) is None
    assert find_checkpoint("auto", str(run), "fit") is None
    last = checkpoint(run / "checkpoints/last.ckpt", 4)
    first = checkpoint(run / "hpc_ckpt_1.ckpt", 3)
    assert find_checkpoint("auto", str(run), "fit") == str(last)
    tenth = checkpoint(run / "hpc_ckpt_10.ckpt", 6)
    assert find_checkpoint("auto", str(run), "fit") == str(tenth)
    assert find_checkpoint("hpc", str(run), "fit") == str(tenth)
    for path, next_best in ((tenth, last), (last, first)):
        path.write_bytes(path.read_bytes()[:-100])
        assert find_checkpoint("auto", str(run), "fit") == str(next_best)


@pytest.mark.parametrize("name", ["auto", "last", "best", "hpc"])
def test_a_name_needs_a_run_directory(name):
    with pytest.raises(UserError, match=f"--run_dir beside --ckpt_path={name}"):
        find_checkpoint(name, None, "fit")


def test_auto_is_for_fit():
    with pytest.raises(UserError, match="Set --ckpt_path=best"):
        find_checkpoint("auto", "run", "validate")
