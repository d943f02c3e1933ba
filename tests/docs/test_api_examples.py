"""The examples on the API pages of the documentation run, and there is one for each public name."""

import doctest
import re
import shutil
from pathlib import Path

import pytest

import acl_lightning

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/api").glob("*.md"))
RUN = ROOT / "tests/formats/v0_1"


def examples(page: Path) -> str:
    """The `pycon` blocks of a page, one after the other."""
    return "\n".join(re.findall(r"```pycon\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL))


@pytest.fixture
def with_a_run(tmp_path, monkeypatch):
    """A working directory that holds the finished run `runs/example`."""
    shutil.copytree(RUN / "run", tmp_path / "runs/example")
    shutil.copytree(RUN / "backbone", tmp_path / "backbone")
    config = tmp_path / "runs/example/config.yaml"
    config.write_text(config.read_text().replace("BACKBONE", str(tmp_path / "backbone")))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """Take back what examples register."""
    from acl_lightning.encoders import registry as backbones
    from acl_lightning.exits.criteria import registry as criteria

    monkeypatch.setattr(backbones, "ADAPTERS", dict(backbones.ADAPTERS))
    monkeypatch.setattr(criteria, "_registered", dict(criteria._registered))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_give_what_they_show(page, with_a_run, capsys):
    test = doctest.DocTestParser().get_doctest(examples(page), {"__name__": "example"}, page.stem, str(page), 0)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.attempted
    assert result.failed == 0, capsys.readouterr().out


def test_every_public_name_has_an_example():
    shown = "\n".join(examples(page) for page in PAGES)
    imported = set(re.findall(r"\w+", " ".join(re.findall(r"from acl_lightning import (.*)", shown))))
    assert set(acl_lightning.__all__) - imported - {"__version__"} == set()
