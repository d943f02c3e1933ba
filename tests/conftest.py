"""Shared fixtures. The tests run offline; real GLUE only where ACL_LIGHTNING_GLUE names its directory."""

import os
import sys
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def glue_root() -> Path:
    """The official GLUE directory, or a skip."""
    root = os.environ.get("ACL_LIGHTNING_GLUE")
    if not root:
        pytest.skip("ACL_LIGHTNING_GLUE does not name a directory with real GLUE data")
    return Path(root)
