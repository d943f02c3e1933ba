"""Labels and coordinates of the speed-quality and per-exit figures."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from acl_lightning.figures import per_exit_figure, runtimes_figure, speed_quality_figure

CURVES = {"confidence": [(6.0, 0.6), (2.0, 0.88), (2.0, 0.88), (1.0, 0.9)], "patience": [(2.5, 0.8), (1.0, 0.9)]}
STATIC = {1: (6.0, 0.6), 3: (2.0, 0.85), 6: (1.0, 0.9)}
RECOMMENDED = {"drop0": (1.0, 0.9), "drop1": (2.0, 0.88), "drop2": (2.0, 0.88)}


def speed_quality():
    return speed_quality_figure(CURVES, STATIC, RECOMMENDED, metric="accuracy", title="SST-2, n = 436")


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_speed_quality_draws_curves_static_exits_and_full_depth_in_percent():
    (axes,) = speed_quality().axes
    found = lines(axes)
    assert found["confidence"].get_xydata().tolist() == [[6.0, 60.0], [2.0, 88.0], [1.0, 90.0]]
    assert found["static exit"].get_xydata().tolist() == [[6.0, 60.0], [2.0, 85.0], [1.0, 90.0]]
    assert set(found["full depth"].get_ydata()) == {90.0}
    assert found["full depth"].get_linestyle() != "-"
    assert axes.get_xlabel().startswith("layer speed-up")
    assert axes.get_ylabel() == "accuracy (%)"
    assert axes.get_title(loc="left") == "SST-2, n = 436"


def shifted(number):
    return [(speed, quality - number / 100) for speed, quality in CURVES["confidence"]]


def test_curves_differ_by_marker_and_line():
    curves = {name: shifted(number) for number, name in enumerate("abcd")}
    (axes,) = speed_quality_figure(curves, STATIC, {}, metric="accuracy", title="").axes
    looks = [(line.get_linestyle(), line.get_marker()) for line in axes.get_lines() if line.get_label() in set("abcd")]
    assert len(set(looks)) == 4


def test_equal_recommendations_share_a_ring_and_a_legend_entry():
    figure = speed_quality()
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["drop0", "drop1, drop2"]
    rings = [line for line in axes.get_lines() if line.get_markersize() == 12]
    assert [ring.get_xydata().tolist() for ring in rings] == [[[1.0, 90.0]], [[2.0, 88.0]]]
    entries = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"drop0: 90.0 % at 1.00x", "drop1, drop2: 88.0 % at 2.00x"} <= entries
    assert not any("interval" in entry or "majority" in entry for entry in entries)


def test_criteria_with_the_same_points_share_a_curve():
    curves = {"confidence": CURVES["confidence"], "patience": CURVES["patience"], "margin": CURVES["confidence"][::-1]}
    (axes,) = speed_quality_figure(curves, STATIC, {}, metric="accuracy", title="").axes
    names = [line.get_label() for line in axes.get_lines()]
    assert "confidence = margin" in names
    assert not {"confidence", "margin"} & set(names)


def test_intervals_and_the_majority_class_are_drawn():
    figure = speed_quality_figure(
        CURVES, STATIC, RECOMMENDED, metric="accuracy", title="", intervals={"drop1": (0.86, 0.91)}, baseline=0.55
    )
    (axes,) = figure.axes
    found = lines(axes)
    assert found["95 % interval of a recommended point"].get_xydata().tolist() == [[2.0, 86.0], [2.0, 91.0]]
    majority = found["majority class: 55.0 %"]
    assert [*majority.get_ydata()] == pytest.approx([55.0, 55.0])
    assert axes.get_ylim()[0] < 55
    assert "drop1, drop2: 88.0 % [86.0, 91.0] at 2.00x" in found


def test_a_majority_class_far_below_the_curves_is_only_named():
    figure = speed_quality_figure(CURVES, STATIC, {}, metric="accuracy", title="", baseline=0.08)
    (axes,) = figure.axes
    assert axes.get_ylim()[0] > 50
    assert len(lines(axes)["majority class: 8.0 % (below this range)"].get_xdata()) == 0


def test_the_axes_of_a_single_exit_have_a_smallest_range():
    point = (1.0, 0.9)
    figure = speed_quality_figure({"a": [point], "b": [point]}, {6: point}, {}, metric="accuracy", title="t")
    (axes,) = figure.axes
    assert axes.get_xlim() == (0.5, 1.5)
    low, high = axes.get_ylim()
    assert high - low >= 5
    assert axes.get_title(loc="left") == "t; one exit: no sample can leave early"
    assert "a = b" in lines(axes)


def test_the_layers_of_the_static_exits_are_on_the_upper_edge():
    (axes,) = speed_quality().axes
    (upper,) = axes.child_axes
    ticks = dict(zip((tick.get_text() for tick in upper.get_xticklabels()), upper.get_xticks(), strict=True))
    assert ticks == {"1": 6.0, "3": 2.0, "6": 1.0}


def test_more_criteria_than_styles_are_all_drawn():
    curves = {f"criterion {number}": shifted(number) for number in range(11)}
    (axes,) = speed_quality_figure(curves, STATIC, {}, metric="accuracy", title="").axes
    assert set(curves) <= set(lines(axes))


def test_a_criterion_has_the_same_style_in_every_figure():
    alone = speed_quality_figure({"patience": CURVES["patience"]}, STATIC, {}, metric="accuracy", title="")
    calibrated = speed_quality_figure({"calibrated_patience": CURVES["patience"]}, STATIC, {}, metric="", title="")
    others = {"own": shifted(1), **CURVES}
    together = speed_quality_figure(others, STATIC, {}, metric="accuracy", title="")
    looks = [
        (line.get_color(), line.get_marker())
        for figure, name in ((alone, "patience"), (calibrated, "calibrated_patience"), (together, "patience"))
        for line in [lines(figure.axes[0])[name]]
    ]
    assert len(set(looks)) == 1
    assert len({lines(together.axes[0])[name].get_color() for name in others}) == 3


def per_exit(grades=None, metrics=("accuracy", "f1")):
    qualities = {name: [0.6, 0.8, 0.9] for name in metrics}
    return per_exit_figure((1, 3, 6), qualities, (0.5, 0.3, 0.2), grades, operating_point="drop1", title="SST-2")


def test_per_exit_draws_metrics_shares_and_grades():
    quality, shares, grades = per_exit({0: 1.5, 2: 4.0}).axes
    assert lines(quality)["f1"].get_ydata().tolist() == [60.0, 80.0, 90.0]
    assert [tick.get_text() for tick in quality.get_xticklabels()] == ["1", "3", "6"]
    assert [bar.get_height() for bar in shares.patches] == [50.0, 30.0, 20.0]
    assert quality.get_title(loc="left") == "Quality of each exit if all samples leave there"
    assert [bar.get_height() for bar in grades.patches] == [1.5, 4.0]
    assert [tick.get_text() for tick in grades.get_xticklabels()] == ["0", "2"]


@pytest.mark.parametrize("grades", [None, {}])
def test_without_difficulty_there_is_no_panel_of_grades(grades):
    assert len(per_exit(grades).axes) == 2


def test_a_single_metric_labels_the_axis_without_a_legend():
    quality = per_exit(metrics=("matthews",)).axes[0]
    assert quality.get_ylabel() == "matthews (%)"
    assert quality.get_legend() is None


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_figures_are_saved_in_every_format(kind):
    for figure in (speed_quality(), per_exit({1: 2.0})):
        file = io.BytesIO()
        figure.savefig(file, format=kind)
        assert len(file.getvalue()) > 1000


def test_a_single_exit_and_undefined_qualities_are_drawn():
    nan = float("nan")
    point = (1.0, nan)
    for figure in (
        speed_quality_figure({"patience": [point]}, {6: point}, {"drop0": point}, metric="m", title=""),
        per_exit_figure((6,), {"m": [nan]}, (1.0,), operating_point="drop0", title=""),
    ):
        file = io.BytesIO()
        figure.savefig(file)
        assert len(file.getvalue()) > 1000


def test_figures_import_neither_pyplot_nor_other_packages():
    code = (
        "import sys, acl_lightning\n"
        "before = set(sys.modules)\n"
        "import acl_lightning.figures\n"
        "new = set(sys.modules) - before\n"
        "ours = [name for name in new if name.startswith('acl_lightning.') and 'figures' not in name]\n"
        "assert not ours and 'matplotlib.pyplot' not in sys.modules, ours"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_criterion_of_a_full_sweep_has_its_own_style():
    names = ("confidence", "entropy", "margin", "patience", "pcee", "fpabee", "learnt_gate")
    curves = {name: shifted(number) for number, name in enumerate(names)}
    (axes,) = speed_quality_figure(curves, STATIC, {}, metric="accuracy", title="").axes
    found = [line for line in axes.get_lines() if line.get_label() in curves]
    assert len({(line.get_linestyle(), line.get_marker()) for line in found}) == 7
    assert len({line.get_color() for line in found}) == 7


def test_small_shares_are_not_rounded_to_zero():
    figure = per_exit_figure((1, 2, 3), {"m": [0.5] * 3}, (0.004, 0.996, 0.0), operating_point="drop1", title="")
    assert [text.get_text() for text in figure.axes[1].texts] == ["<1", "100", "0"]


def test_bars_of_the_grades_are_labelled_with_their_number_of_samples():
    figure = per_exit_figure(
        (1, 2), {"m": [0.5] * 2}, (0.5, 0.5), {0: 1.0, 3: 2.0}, operating_point="drop1", title="",
        counts_by_grade={0: 12, 3: 5},
    )  # fmt: skip
    assert [tick.get_text() for tick in figure.axes[2].get_xticklabels()] == ["0\nn = 12", "3\nn = 5"]


def test_runtimes_are_drawn_with_the_points_of_the_fastest_named():
    adaptive = {
        "torch": {"full_depth": (1.2, 0.90), "drop1": (2.5, 0.89)},
        "int8": {"full_depth": (3.0, 0.89), "speed2": (5.0, 0.86), "drop1": (7.5, 0.88), "drop2": (7.5, 0.88)},
    }
    figure = runtimes_figure(
        adaptive, {"plain": (1.0, 0.90)}, reference="the plain model", metric="accuracy", title="SST-2"
    )
    (axes,) = figure.axes
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"torch", "int8", "plain"}
    assert axes.lines[2].get_xydata().tolist() == [[3.0, 89.0], [7.5, 88.0]]
    assert axes.lines[3].get_xydata().tolist() == [[5.0, 86.0]], "drop1 is faster and better"
    assert {text.get_text() for text in axes.texts} == {"full depth", "speed2", "drop1, drop2"}
    assert axes.get_xlabel() == "measured speed-up over the plain model"
