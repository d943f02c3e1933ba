"""One process at a time writes into a run directory."""

import os
import signal
import time
from pathlib import Path

import pytest
from training_runs import in_processes

from acl_lightning.errors import UserError
from acl_lightning.runs.session.lock import locked


def test_a_second_user_is_refused_until_the_first_ends(tmp_path):
    refused = pytest.raises(UserError, match="a run directory that no other process writes to")
    with locked(tmp_path), refused, locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass


def die_with_a_child(directory: Path) -> None:
    """Take the lock, fork a child that goes on (as a loader's worker may), and die."""
    with locked(directory):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        (directory / "child").write_text(str(child))
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_ends_with_a_killed_process_although_its_workers_live(tmp_path):
    assert in_processes(die_with_a_child, tmp_path) == [-signal.SIGKILL]
    try:
        assert (tmp_path / ".lock").exists()
        with locked(tmp_path):
            pass
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
