"""result.json: content, failure, what survives what."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
import torch
from fake_module import QUIET_TRAINER, FakeModule, loader, trainer_for

import acl_lightning
from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.callbacks.run_files.result_writer import ResultWriter
from acl_lightning.errors import UserError
from acl_lightning.runs.provenance import device_name, git_state, versions

pytestmark = QUIET_TRAINER


def read(directory: Path) -> dict:
    """Strictly: NaN and Infinity are not JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads((directory / "result.json").read_text(), parse_constant=refuse)


def validate(directory: Path, module: FakeModule | None = None, *, sweep: bool = True) -> dict:
    writer = ResultWriter()
    writer.config_hash = "abc"
    callbacks = [ExitSweep(), writer] if sweep else [writer]
    trainer_for(directory, *callbacks).validate(module or FakeModule(), loader(), verbose=False)
    return read(directory)


def test_a_finished_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    result = validate(tmp_path)
    assert result["status"] == "finished"
    assert result["error"] is None
    assert result["task"] == "fake"
    assert result["metrics"]["val/accuracy"] == pytest.approx(0.9)
    assert result["metrics"]["val/undefined"] is None
    assert result["recommended"]["drop1"]["criterion"] == "confidence"
    assert result["recommended"]["drop1"]["threshold"] > 0.5
    assert result["per_exit"][3]["accuracy"] == 1.0
    assert result["seed"] == 7
    assert result["config_hash"] == "abc"
    assert result["precision"] == "32-true"
    assert result["world_size"] == 1
    assert result["device"].startswith("cpu")
    assert result["checkpoint"] is None
    assert result["fit_seconds"] is None
    assert result["validate_seconds"] > 0
    assert datetime.fromisoformat(result["finished"]) >= datetime.fromisoformat(result["started"])


def test_without_a_sweep_and_a_seed_the_rest_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    result = validate(tmp_path, sweep=False)
    assert result["seed"] is None
    assert "recommended" not in result
    assert result["status"] == "finished"


def test_fit_alone_writes_nothing_and_its_time_reaches_the_result(tmp_path):
    writer = ResultWriter()
    trainer = trainer_for(tmp_path, ExitSweep(), writer, log_every_n_steps=1)
    trainer.fit(FakeModule(), loader(), loader())
    assert not (tmp_path / "result.json").exists()
    trainer.validate(FakeModule(), loader(), verbose=False)
    result = read(tmp_path)
    assert result["fit_seconds"] > 0
    assert result["validate_seconds"] > 0


def test_a_failed_run_keeps_its_error_on_one_line(tmp_path):
    with pytest.raises(RuntimeError, match="loss exploded"):
        validate(tmp_path, FakeModule(fail=RuntimeError("loss exploded\nin a long story")))
    result = read(tmp_path)
    assert result["status"] == "failed"
    assert result["error"] == "RuntimeError: loss exploded"
    assert result["validate_seconds"] is None


def test_failed_gives_way_to_finished_but_not_the_other_way_round(tmp_path):
    with pytest.raises(RuntimeError):
        validate(tmp_path, FakeModule(fail=RuntimeError()))
    assert read(tmp_path)["error"] == "RuntimeError: "
    finished = validate(tmp_path)
    with pytest.raises(RuntimeError):
        validate(tmp_path, FakeModule(fail=RuntimeError("later")))
    assert read(tmp_path) == finished


@pytest.mark.parametrize("damaged", [b'{"status": "fini', b"\xff\xfe", b"[]", b'{"status": "unknown"}'])
def test_a_damaged_result_is_kept_by_a_failing_run_and_replaced_by_a_finished_one(tmp_path, damaged):
    path = tmp_path / "result.json"
    path.write_bytes(damaged)
    with pytest.raises(RuntimeError):
        validate(tmp_path, FakeModule(fail=RuntimeError("x")))
    assert path.read_bytes() == damaged
    assert validate(tmp_path)["status"] == "finished"
    assert (tmp_path / "result-before-validating.json").read_bytes() == damaged


def test_a_later_validate_keeps_what_identifies_the_run(tmp_path):
    for config_hash, config_files in (("of fit", ["glue.yaml", "acl.yaml"]), ("of validate", ["config.yaml"])):
        writer = ResultWriter()
        writer.config_hash, writer.config_files = config_hash, config_files
        trainer_for(tmp_path, writer).validate(FakeModule(), loader(), verbose=False)
    assert read(tmp_path)["config_hash"] == "of fit"
    assert read(tmp_path)["config_files"] == ["glue.yaml", "acl.yaml"]


def test_a_full_disk_leaves_the_old_result_whole_and_no_temporary_file(tmp_path, monkeypatch):
    validate(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"to write .*; found No space left on device"):
        validate(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_full_disk_does_not_hide_the_exception(tmp_path, monkeypatch, caplog):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RuntimeError, match="the cause"):
        validate(tmp_path, FakeModule(fail=RuntimeError("the cause")))
    assert "result.json was not written" in caplog.text
    assert list(tmp_path.iterdir()) == []


def git(directory: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", str(directory), *identity, *arguments], check=True, capture_output=True)


def test_git_state_of_a_checkout_of_its_inside_and_of_none(tmp_path):
    assert git_state(tmp_path) is None
    git(tmp_path, "init")
    assert git_state(tmp_path) is None  # nothing committed
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "file").write_text("a")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    state = git_state(tmp_path)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "inside" / "file").write_text("b")
    assert git_state(tmp_path) == state | {"dirty": True}
    assert git_state(tmp_path / "inside") is None


def test_git_state_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state() is None


def test_versions_and_device():
    found = versions()
    assert found["acl_lightning"] == acl_lightning.__version__
    assert all(found[name] for name in ("python", "torch", "lightning", "transformers"))
    assert device_name(torch.device("cpu")).startswith("cpu (")
