"""Curves over seeds: interpolation, band, what the figure shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fabricated_runs import fabricate

from acl_lightning.errors import UserError
from acl_lightning.figures.seed_curves import SeedCurve, seed_curves_figure
from acl_lightning.studies.curves.seed_curves import curves_figure, seed_curve
from acl_lightning.studies.grouping import group_runs
from acl_lightning.studies.reading import read_run


def group_of(tmp_path, *qualities):
    (group,) = group_runs([read_run(fabricate(tmp_path / str(n), n, pair)) for n, pair in enumerate(qualities)])
    return group


def test_a_run_is_interpolated_over_the_mean_exit_layer(tmp_path):
    curve = seed_curve(group_of(tmp_path, (0.6, 0.8)), "entropy")
    layers = 2 / np.array(curve.speeds)  # the fabricated quality is a straight line over the mean exit layer
    np.testing.assert_allclose(curve.mean, 0.6 + 0.2 * (layers - 1))
    assert (curve.speeds[0], curve.speeds[-1]) == (1.0, 2.0)
    assert (curve.seeds, curve.std) == (1, None)


def test_mean_and_deviation_over_seeds_at_each_speed(tmp_path):
    curve = seed_curve(group_of(tmp_path, (0.6, 0.8), (0.7, 0.8)), "entropy")
    assert (curve.mean[0], curve.std[0]) == (pytest.approx(0.8), pytest.approx(0.0))
    assert (curve.mean[-1], curve.std[-1]) == (pytest.approx(0.65), pytest.approx(0.1 / math.sqrt(2)))
    assert curve.static == {1: (2.0, pytest.approx(0.65)), 2: (1.0, pytest.approx(0.8))}


def test_only_speeds_that_all_seeds_reach(tmp_path):
    slow = fabricate(tmp_path / "slow", 1)
    table = (slow / "exit_sweep.csv").read_text().splitlines()
    (slow / "exit_sweep.csv").write_text("".join(f"{line}\n" for line in table if "entropy,0.9" not in line))
    (group,) = group_runs([read_run(fabricate(tmp_path / "fast", 0)), read_run(slow)])
    assert seed_curve(group, "entropy").speeds[-1] == pytest.approx(2 / 1.5)


def test_points_of_one_speed_are_averaged_and_an_undefined_one_is_not_hidden(tmp_path):
    run = fabricate(tmp_path / "run")
    with (run / "exit_sweep.csv").open("a") as table:
        table.write("entropy,0.8,0.4,1.0,2.0,2.1\nflat,1,0.5,2.0,1.0,1.1\nflat,2,,2.0,1.0,1.1\n")
    (group,) = group_runs([read_run(run)])
    assert seed_curve(group, "entropy").mean[-1] == pytest.approx((0.6 + 0.4) / 2)
    flat = seed_curve(group, "flat")
    assert flat.speeds == [1.0]
    assert math.isnan(flat.mean[0])


def test_an_unknown_criterion_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(UserError, match=r"expected patience in the exit sweep of 0; found static, entropy\."):
        seed_curve(group_of(tmp_path, (0.6, 0.8)), "patience")


def test_the_figure_shows_curve_band_static_exits_and_n(tmp_path):
    figure = curves_figure([group_of(tmp_path, (0.6, 0.8), (0.7, 0.8))], "entropy")
    (axes,) = figure.axes
    curve, static, _ = axes.get_lines()
    assert curve.get_label() == "all runs (n = 2)"
    assert curve.get_ydata()[-1] == pytest.approx(65.0)
    assert static.get_xydata().tolist() == [[2.0, pytest.approx(65.0)], [1.0, pytest.approx(80.0)]]
    assert static.get_markerfacecolor() == "none"
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(80.0)
    assert axes.get_title(loc="left").startswith("sst2, 100 training rows, criterion entropy")
    assert [text.get_text() for text in axes.child_axes[0].get_xticklabels()] == ["2", "1"][::-1]


def test_one_seed_has_no_band_and_groups_differ_without_colour():
    curve = SeedCurve(1, [1.0, 2.0], [0.9, 0.8], None, {6: (1.0, 0.9)})
    (axes,) = seed_curves_figure(dict.fromkeys("abcde", curve), metric="accuracy", title="").axes
    assert not axes.collections
    looks = [(line.get_linestyle(), line.get_marker()) for line in axes.get_lines() if "n = 1" in line.get_label()]
    assert len(set(looks)) == 5


def test_layers_are_not_named_where_a_speed_means_different_layers():
    one = SeedCurve(1, [1.0], [0.9], None, {6: (1.0, 0.9)})
    other = SeedCurve(1, [1.0], [0.9], None, {12: (1.0, 0.9)})
    (axes,) = seed_curves_figure({"a": one, "b": other}, metric="accuracy", title="").axes
    assert not axes.child_axes
