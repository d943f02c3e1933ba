"""Curves and distributions of the figure of gradient angles."""

from __future__ import annotations

import io
import math

import pytest

from acl_lightning.figures import AnglePanel, gradient_angles_figure

CURVES = {"scl": [(0, 95.0), (1, 88.0), (2, math.nan), (5, 91.0)], "acl": [(0, 80.0), (1, 80.5), (2, 85.0)]}


def panels(rows=1, columns=1):
    panel = AnglePanel("against cross_entropy", CURVES)
    return gradient_angles_figure([[panel] * columns] * rows, title="rte")


def test_undefined_angles_are_left_out():
    steps, _ = panels().axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in steps.get_lines()}
    assert drawn["scl"] == [[0, 95], [1, 88], [5, 91]]
    assert drawn["acl"] == [[0, 80], [1, 80.5], [2, 85]]
    assert steps.get_title(loc="left") == "against cross_entropy"
    assert (steps.get_xlabel(), steps.get_ylabel()) == ("training batch", "angle (degrees)")


def test_every_panel_marks_the_right_angle():
    for axes in panels(2, 2).axes:
        assert [90, 90] in [list(line.get_ydata()) for line in axes.get_lines()]


def test_distributions_show_the_share_of_every_bin():
    _, distribution = panels().axes
    (scl, acl) = [patch.get_xy() for patch in distribution.patches]
    assert scl[:, 0].max() == pytest.approx(100 / 3)  # three angles in three bins
    assert acl[:, 0].max() == pytest.approx(200 / 3)  # 80 and 80.5 are in the same bin
    assert (acl[:, 1].min(), acl[:, 1].max()) == (80, 86)


def test_curves_differ_by_marker_and_line():
    steps, distribution = panels().axes
    scl, acl = (next(line for line in steps.get_lines() if line.get_label() == label) for label in ("scl", "acl"))
    assert (scl.get_linestyle(), scl.get_marker()) != (acl.get_linestyle(), acl.get_marker())
    assert len({patch.get_linestyle() for patch in distribution.patches}) == 2


def test_all_panels_share_the_axis_of_the_angle():
    figure = panels(2, 3)
    assert len(figure.axes) == 12
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


@pytest.mark.parametrize("curves", [{"empty": []}, {"undefined": [(0, math.nan)]}, {"all": [(0, 0.0), (1, 180.0)]}])
def test_empty_and_extreme_curves_are_drawn_without_a_warning(curves):
    gradient_angles_figure([[AnglePanel("", curves)]], title="").savefig(io.BytesIO())


def test_more_curves_than_styles_are_all_drawn():
    curves = {f"seed {number}": [(0, 90.0), (1, 80.0)] for number in range(12)}
    steps, _ = gradient_angles_figure([[AnglePanel("", curves)]], title="").axes
    assert set(curves) <= {line.get_label() for line in steps.get_lines()}


def test_a_label_has_the_same_style_in_all_panels_and_a_single_legend_entry():
    first, second = AnglePanel("", CURVES), AnglePanel("", {"acl": CURVES["acl"]})
    figure = gradient_angles_figure([[first], [second]], title="")
    colors = {line.get_color() for axes in figure.axes for line in axes.get_lines() if line.get_label() == "acl"}
    assert len(colors) == 1
    assert not any(axes.get_legend() for axes in figure.axes)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["scl", "acl"]
