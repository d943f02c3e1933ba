"""The examples in the docstrings of the data package give what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

import acl_lightning.data

FOLDER = Path(acl_lightning.data.__file__).parent
MODULES = [
    ".".join(["acl_lightning.data", *path.relative_to(FOLDER).with_suffix("").parts])
    for path in sorted(FOLDER.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_give_what_they_show(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
