"""The look that the figures share: told apart by line style and marker first, by colour second."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes


@dataclass(frozen=True)
class Style:
    """Colour, marker and dashes of one curve."""

    color: str
    marker: str
    line: str


#: As many as a sweep has criteria. Okabe and Ito's colours but yellow, and a purple: distinct to colour-blind readers;
#: in greyscale line and marker tell them apart.
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
FAINT = "#8A8A8A"
FILL = "#9DB9CE"


def plain(axes: Axes, *, grid: str = "y") -> None:
    """Take away what carries no information: the frame's upper and right side, heavy grid lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK)
    axes.grid(axis=grid, color="#E3E3E3", linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
