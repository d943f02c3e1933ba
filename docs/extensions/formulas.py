"""Formulas of docstrings (`.. math::`) as MathML, which browsers show without a script. Used by mkdocs.yml."""

from __future__ import annotations

import re
from typing import Any

import griffe
from latex2mathml.converter import convert

_FORMULA = re.compile(r"^\.\. math::(.*?)(?:\n\n|\Z)", re.DOTALL | re.MULTILINE)


def _as_mathml(match: re.Match[str]) -> str:
    return f"<p>{convert(' '.join(match[1].split()), display='block')}</p>\n\n"


class Formulas(griffe.Extension):
    """Replaces the formulas of every docstring."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Convert the formulas of one class, function or module."""
        if obj.docstring is not None:
            obj.docstring.value = _FORMULA.sub(_as_mathml, obj.docstring.value)
