"""A small package, a session and a client in the process of the test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_package import write_package

from acl_lightning.serving import AdaptiveSession


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> Path:
    return write_package(tmp_path_factory.mktemp("packages") / "sums")


@pytest.fixture
def session(package) -> AdaptiveSession:
    return AdaptiveSession(package, "certain")


@pytest.fixture
def slow_session(session, monkeypatch) -> AdaptiveSession:
    """A session whose every call takes 20 ms longer."""
    import time

    decide = session.decide

    def slow(*arguments, **settings):
        time.sleep(0.02)
        return decide(*arguments, **settings)

    monkeypatch.setattr(session, "decide", slow)
    return session
