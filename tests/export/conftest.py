"""Finished runs to export."""

from pathlib import Path

import pytest
from finished_runs import finish_run

REGRESSION = Path(__file__).parents[2] / "conf/objective/regression.yaml"


@pytest.fixture(scope="session")
def finished_run(tiny_backbone, tmp_path_factory) -> Path:
    """A run of three layers on generated reviews, with an operating point `first`."""
    return finish_run(tiny_backbone, tmp_path_factory.mktemp("runs") / "sst2")


@pytest.fixture(scope="session")
def regression_run(tiny_backbone, tmp_path_factory) -> Path:
    """A run on generated sentence pairs with scores."""
    directory = tmp_path_factory.mktemp("runs") / "stsb"
    return finish_run(tiny_backbone, directory, f"--config={REGRESSION}", "--data.task=stsb")
