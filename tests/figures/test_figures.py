"""Figures are asked what they drew, by label and coordinate."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from acl_lightning.figures import per_exit_figure, speed_quality_figure

CURVES = {"confidence": [(6.0, 0.6), (2.0, 0.88), (2.0, 0.88), (1.0, 0.9)], "patience": [(2.5, 0.8), (1.0, 0.9)]}
STATIC = {1: (6.0, 0.6), 3: (2.0, 0.85), 6: (1.0, 0.9)}
RECOMMENDED = {"loss0": (1.0, 0.9), "loss1": (2.0, 0.88), "loss2": (2.0, 0.88)}


def speed_quality():
    return speed_quality_figure(CURVES, STATIC, RECOMMENDED, metric="accuracy", title="SST-2, n = 436")


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_speed_quality_draws_curves_static_exits_and_full_depth_in_percent():
    (axes,) = speed_quality().axes
    found = lines(axes)
    assert found["confidence"].get_xydata().tolist() == [[6.0, 60.0], [2.0, 88.0], [1.0, 90.0]]
    assert found["static exit (layer)"].get_xydata().tolist() == [[6.0, 60.0], [2.0, 85.0], [1.0, 90.0]]
    assert set(found["full depth"].get_ydata()) == {90.0}
    assert found["full depth"].get_linestyle() != "-"
    assert axes.get_xlabel().startswith("layer speed-up")
    assert axes.get_ylabel() == "accuracy (%)"
    assert axes.get_title(loc="left") == "SST-2, n = 436"


def test_curves_differ_without_colour():
    (axes,) = speed_quality_figure(
        dict.fromkeys("abcd", CURVES["confidence"]), STATIC, {}, metric="accuracy", title=""
    ).axes
    looks = [(line.get_linestyle(), line.get_marker()) for line in axes.get_lines() if line.get_label() in set("abcd")]
    assert len(set(looks)) == 4


def test_recommendations_that_coincide_share_one_mark():
    (axes,) = speed_quality().axes
    assert {text.get_text() for text in axes.texts} == {
        "1",
        "3",
        "6",
        "loss0: 90.0 % at 1.00x",
        "loss1, loss2: 88.0 % at 2.00x",
    }
    rings = [line for line in axes.get_lines() if line.get_markersize() == 13]
    assert [ring.get_xydata().tolist() for ring in rings] == [[[1.0, 90.0]], [[2.0, 88.0]]]


def test_more_criteria_than_styles_are_all_drawn():
    curves = {f"criterion {number}": CURVES["confidence"] for number in range(11)}
    (axes,) = speed_quality_figure(curves, STATIC, {}, metric="accuracy", title="").axes
    assert set(curves) <= set(lines(axes))


def per_exit(grades=None, metrics=("accuracy", "f1")):
    qualities = {name: [0.6, 0.8, 0.9] for name in metrics}
    return per_exit_figure((1, 3, 6), qualities, (0.5, 0.3, 0.2), grades, operating_point="loss1", title="SST-2")


def test_per_exit_draws_metrics_shares_and_grades():
    quality, shares, grades = per_exit({0: 1.5, 2: 4.0}).axes
    assert lines(quality)["f1"].get_ydata().tolist() == [60.0, 80.0, 90.0]
    assert [tick.get_text() for tick in quality.get_xticklabels()] == ["1", "3", "6"]
    assert [bar.get_height() for bar in shares.patches] == [50.0, 30.0, 20.0]
    assert [bar.get_height() for bar in grades.patches] == [1.5, 4.0]
    assert [tick.get_text() for tick in grades.get_xticklabels()] == ["0", "2"]


@pytest.mark.parametrize("grades", [None, {}])
def test_unknown_difficulty_has_no_panel(grades):
    assert len(per_exit(grades).axes) == 2


def test_a_single_metric_names_the_axis_and_needs_no_legend():
    quality = per_exit(metrics=("matthews",)).axes[0]
    assert quality.get_ylabel() == "matthews (%)"
    assert quality.get_legend() is None


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_both_are_drawn_in_any_format(kind):
    for figure in (speed_quality(), per_exit({1: 2.0})):
        file = io.BytesIO()
        figure.savefig(file, format=kind)
        assert len(file.getvalue()) > 1000


def test_one_exit_and_undefined_quality_are_drawn():
    nan = float("nan")
    point = (1.0, nan)
    for figure in (
        speed_quality_figure({"patience": [point]}, {6: point}, {"loss0": point}, metric="m", title=""),
        per_exit_figure((6,), {"m": [nan]}, (1.0,), operating_point="loss0", title=""),
    ):
        file = io.BytesIO()
        figure.savefig(file)
        assert len(file.getvalue()) > 1000


def test_pyplot_and_this_package_stay_unimported():
    code = (
        "import sys, acl_lightning\n"
        "before = set(sys.modules)\n"
        "import acl_lightning.figures\n"
        "new = set(sys.modules) - before\n"
        "ours = [name for name in new if name.startswith('acl_lightning.') and 'figures' not in name]\n"
        "assert not ours and 'matplotlib.pyplot' not in sys.modules, ours"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sweep_of_all_criteria_has_a_look_for_each():
    curves = {f"criterion {number}": CURVES["confidence"] for number in range(7)}
    (axes,) = speed_quality_figure(curves, STATIC, {}, metric="accuracy", title="").axes
    found = [line for line in axes.get_lines() if line.get_label() in curves]
    assert len({(line.get_linestyle(), line.get_marker()) for line in found}) == 7
    assert len({line.get_color() for line in found}) == 7


@pytest.mark.parametrize("other", [(2.03, 0.76), (2.03, 0.72), (1.95, 0.74)])
def test_names_of_recommendations_close_together_do_not_cover_each_other(other):
    recommended = {"loss0": (1.9, 0.74), "speed1.5": (1.9, 0.74), "loss2": other}
    figure = speed_quality_figure(CURVES, STATIC, recommended, metric="accuracy", title="")
    FigureCanvasAgg(figure).draw()
    names = [text for text in figure.axes[0].texts if not text.get_text().isdigit()]
    first, second = (Text.get_window_extent(name) for name in names)  # without the leader
    assert not first.overlaps(second)
