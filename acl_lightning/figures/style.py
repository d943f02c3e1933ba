"""Colours, markers and lines of all figures. Series differ by marker and line as well as by colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes


@dataclass(frozen=True)
class Style:
    """Style of a curve.

    Attributes:
        color: Matplotlib colour.
        marker: Matplotlib marker.
        line: Matplotlib line style.
    """

    color: str
    marker: str
    line: Literal["-", "--", "-.", ":"]


#: Styles of the criteria of a sweep: the colours of Okabe and Ito without yellow, and a purple, which colour-blind
#: readers can distinguish. In greyscale they differ by line and marker.
STYLES = (
    Style("#0072B2", "o", "-"),
    Style("#D55E00", "^", "--"),
    Style("#009E73", "D", "-."),
    Style("#CC79A7", "v", ":"),
    Style("#56B4E9", "P", "-"),
    Style("#E69F00", "X", "--"),
    Style("#000000", "p", "-."),
    Style("#7F3C8D", "<", ":"),
)
INK = "#222222"
FAINT = "#737373"
FILL = "#9DB9CE"

#: Exit criteria in the order of their styles, so that a criterion has the same style in every figure.
CRITERIA = ("confidence", "entropy", "margin", "patience", "pcee", "fpabee", "learnt_gate", "prototype_margin")

#: Prefixes of the names of criteria on calibrated exits and on ensembles, which have the style of the criterion alone.
PREFIXES = ("ensemble_", "calibrated_")


def inner_name(name: str) -> str:
    """Return the name of a criterion without the prefixes of calibration and ensemble."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def distinct_styles(count: int) -> list[Style]:
    """Return `count` styles; up to 64, every combination of colour and marker is unique."""
    number = len(STYLES)
    return [
        Style(STYLES[n % number].color, STYLES[(n + n // number) % number].marker, STYLES[(n + n // number) % 4].line)
        for n in range(count)
    ]


def criterion_styles(names: Sequence[str]) -> dict[str, Style]:
    """Return name -> style: known criteria have a fixed style, other criteria the remaining styles."""
    known = {name: inner_name(name) for name in names if inner_name(name) in CRITERIA}
    styles = {name: STYLES[CRITERIA.index(criterion)] for name, criterion in known.items()}
    spare = [style for style in distinct_styles(len(STYLES) + len(names)) if style not in styles.values()]
    return {name: styles[name] if name in styles else spare.pop(0) for name in names}


def plain(axes: Axes, *, grid: str = "y") -> None:
    """Remove the upper and right side of the frame, and draw a light grid along the axis `grid`."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK)
    axes.grid(axis=grid, color="#E3E3E3", linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
