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
NOT_CONVERTED: set[str] = {
    "callbacks/embedding_arrays.py",
    "callbacks/exit_sweep.py",
    "callbacks/gradient_probe.py",
    "callbacks/points_table.py",
    "callbacks/representation.py",
    "callbacks/summary_table.py",
    "callbacks/sweep_summary.py",
    "callbacks/sweep_trust.py",
    "callbacks/validation_record.py",
    "callbacks/watched_scopes.py",
    "cli/commands.py",
    "cli/curves.py",
    "cli/parsing/config_files.py",
    "cli/parsing/list_items.py",
    "cli/parsing/messages.py",
    "cli/parsing/parser.py",
    "cli/parsing/values.py",
    "cli/points.py",
    "cli/trainer.py",
    "encoders/bert.py",
    "encoders/config.py",
    "encoders/flops.py",
    "encoders/multi_exit.py",
    "encoders/registry.py",
    "exits/__init__.py",
    "exits/criteria/base.py",
    "exits/criteria/calibrated.py",
    "exits/criteria/consecutive.py",
    "exits/criteria/distribution.py",
    "exits/criteria/fpabee.py",
    "exits/criteria/learnt_gate.py",
    "exits/criteria/pcee.py",
    "exits/criteria/static.py",
    "exits/criteria/temperature.py",
    "exits/evaluation/baseline.py",
    "exits/evaluation/bootstrap.py",
    "exits/evaluation/budgets.py",
    "exits/evaluation/choose.py",
    "exits/evaluation/costs.py",
    "exits/evaluation/curve.py",
    "exits/evaluation/description.py",
    "exits/evaluation/difficulty.py",
    "exits/evaluation/elue.py",
    "exits/evaluation/histogram.py",
    "exits/evaluation/latency_table.py",
    "exits/evaluation/operating_point.py",
    "exits/evaluation/record.py",
    "exits/evaluation/reliability.py",
    "exits/evaluation/resampled_quality.py",
    "exits/evaluation/selection.py",
    "exits/evaluation/sweep.py",
    "exits/evaluation/swept_criteria.py",
    "figures/seed_curves.py",
    "gradients/acl_grad.py",
    "gradients/batched_rows.py",
    "gradients/collect.py",
    "gradients/interval.py",
    "gradients/products.py",
    "gradients/proxy.py",
    "gradients/scopes.py",
    "gradients/step.py",
    "objectives/__init__.py",
    "objectives/acf.py",
    "objectives/acl_embed.py",
    "objectives/base.py",
    "objectives/exit_weights.py",
    "objectives/teachers.py",
    "representation/__init__.py",
    "representation/alignment.py",
    "representation/effective_rank.py",
    "representation/label_alignment.py",
    "representation/measures.py",
    "representation/uniformity.py",
    "runs/provenance.py",
    "runs/records/reading.py",
    "studies/__init__.py",
    "studies/collect.py",
    "studies/comparison/contenders.py",
    "studies/comparison/report.py",
    "studies/comparison/stored_curve.py",
    "studies/conflict_report.py",
    "studies/conflict_tables.py",
    "studies/conflicts.py",
    "studies/curves.py",
    "studies/embeddings.py",
    "studies/grouping.py",
    "studies/names.py",
    "studies/provenance.py",
    "studies/report.py",
    "studies/representation_record.py",
    "studies/representation_tables.py",
    "studies/run_record.py",
    "studies/tables.py",
    "studies/telemetry.py",
    "studies/watch_record.py",
    "training/module.py",
}

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
