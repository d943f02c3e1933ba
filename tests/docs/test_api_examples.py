"""The examples on the API pages of the documentation run, and there is one for each public name."""

import doctest
import re
from pathlib import Path

import pytest

import acl_lightning

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/api").glob("*.md"))


def examples(page: Path) -> str:
    """The `pycon` blocks of a page, one after the other."""
    return "\n".join(re.findall(r"```pycon\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_give_what_they_show(page, example_run, registries, capsys):
    test = doctest.DocTestParser().get_doctest(examples(page), {"__name__": "example"}, page.stem, str(page), 0)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.attempted
    assert result.failed == 0, capsys.readouterr().out


def test_every_public_name_has_an_example():
    shown = "\n".join(examples(page) for page in PAGES)
    imported = set(re.findall(r"\w+", " ".join(re.findall(r"from acl_lightning import (.*)", shown))))
    assert set(acl_lightning.__all__) - imported - {"__version__"} == set()
