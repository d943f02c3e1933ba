"""Rules of writing that a parser can check: docstrings, comments and identifiers of the package."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "acl_lightning"
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

#: Files whose prose is not rewritten yet.
NOT_CONVERTED: set[str] = set()

#: First words that make a module docstring a clause instead of a noun phrase or a sentence.
CLAUSES = ("What", "How", "Where", "Who", "Which", "When", "Why")

#: Names of variables, arguments, functions and classes that carry no meaning.
FORBIDDEN_NAMES = {"found", "one", "given", "worth", "chosen", "evidence", "halves"}

#: `UserError(expected, found, remedy)`: the three parts of every error message.
ALLOWED_NAMES = {"errors.py": {"found"}}

#: Expressions that do not belong into docstrings and comments.
FORBIDDEN_PROSE = re.compile(
    r"\b(worth|evidence|everybody|speaks?|says|be it|rooms?|halves|selection half|report half|other half|"
    r"of its own|of their own|for one in|the book of)\b",
    re.IGNORECASE,
)

#: An entry of a section such as `Args:` whose description depends on the name: `seed: of the data`.
INCOMPLETE_ENTRY = re.compile(r"^\s+\*{0,2}\w+(?: \([^)]*\))?: of\b", re.MULTILINE | re.IGNORECASE)

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Name and docstring of everything that has a docstring; the module is named `module`."""
    for node in ast.walk(tree):
        if isinstance(node, Documented):
            text = ast.get_docstring(node)
            if text is not None:
                yield getattr(node, "name", "module"), text


def comments(source: str) -> Iterator[str]:
    """Comments of a file."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def identifiers(tree: ast.Module) -> set[str]:
    """Names that a file gives to variables, arguments, functions and classes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def violations(source: str, allowed_names: set[str] = frozenset()) -> list[str]:
    """Every violation in the source text of a module."""
    tree = ast.parse(source)
    problems = []
    module = ast.get_docstring(tree) or ""
    if module.split(" ")[0] in CLAUSES or (module.splitlines()[:1] and module.splitlines()[0].endswith("?")):
        problems.append(f"the module docstring is a question or a clause: {module.splitlines()[0]}")
    texts = [(f"comment {comment}", comment) for comment in comments(source)]
    for name, text in docstrings(tree):
        first, *rest = text.splitlines()
        if not first.endswith(".") or (rest and rest[0]):
            problems.append(f"the docstring of {name} does not start with one line that ends with a period")
        problems += [
            f"an entry of {name} starts with 'of': {entry.strip()}" for entry in INCOMPLETE_ENTRY.findall(text)
        ]
        texts.append((f"docstring of {name}", text))
    problems += [f"{place}: {match.group()!r}" for place, text in texts for match in FORBIDDEN_PROSE.finditer(text)]
    return problems + [f"the name {name}" for name in sorted(identifiers(tree) & FORBIDDEN_NAMES - allowed_names)]


@pytest.mark.parametrize("file", FILES)
def test_the_prose_follows_the_style(file):
    if file in NOT_CONVERTED:
        pytest.skip("not rewritten yet")
    source = FILES[file].read_text(encoding="utf-8")
    assert violations(source, ALLOWED_NAMES.get(file, set())) == []


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ('"""What is measured."""', "question or a clause"),
        ('"""Is it measured?"""', "question or a clause"),
        ('"""Thresholds"""', "the docstring of module"),
        ('"""Thresholds of\n\ntwo lines."""', "the docstring of module"),
        ('def f(seed):\n    """Draw.\n\n    Args:\n        seed: of the draw.\n    """', "an entry of f"),
        ("for one in []:\n    pass", "the name one"),
        ("def f(given):\n    pass", "the name given"),
        ("# The evidence.", "comment"),
        ('"""Data.\n\nThe selection half."""', "docstring of module"),
    ],
)
def test_violations_are_reported(source, part):
    assert any(part in problem for problem in violations(source))


def test_plain_prose_is_accepted():
    source = (
        '"""Thresholds of all criteria."""\n\n'
        'def f(seed):\n    """Draw a row.\n\n    Args:\n        seed: Seed of the draw.\n    """\n'
    )
    assert violations(source) == []
