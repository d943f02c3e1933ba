"""Reliability diagrams and exit histograms."""

from __future__ import annotations

import pytest

from acl_lightning.figures import exit_histogram_figure, reliability_figure
from acl_lightning.figures.reliability import merge_small_bins

BINS = [(0.6, 0.5, 30), (0.9, 0.8, 10)]


def test_every_exit_has_a_diagram_with_curves_before_and_after_calibration():
    exits = range(1, 6)
    figure = reliability_figure(
        dict.fromkeys(exits, BINS), dict.fromkeys(exits, BINS[:1]), dict.fromkeys(exits, (0.1, 0.05)), title="t"
    )
    drawn = [axes for axes in figure.axes if axes.axison]
    assert (len(drawn), len(figure.axes)) == (5, 6)
    for layer, axes in zip(exits, drawn, strict=True):
        _, before, after = axes.get_lines()
        assert before.get_xydata().tolist() == [[60.0, 50.0], [90.0, 80.0]]
        assert after.get_xydata().tolist() == [[60.0, 50.0]]
        assert before.get_linestyle() != after.get_linestyle()
        assert axes.get_title(loc="left") == f"exit {layer}: 10.0 \u2192 5.0"


def test_the_area_of_a_marker_is_proportional_to_the_number_of_samples():
    figure = reliability_figure({1: BINS}, {1: BINS}, {1: (0.1, 0.05)}, title="t")
    large, small = figure.axes[0].collections[0].get_sizes()
    assert large / small == pytest.approx(3)


@pytest.mark.parametrize(
    ("counts", "merged"), [((3, 9, 20, 1), (12, 21)), ((10, 10), (10, 10)), ((4, 2), (6,)), ((), ())]
)
def test_bins_of_few_samples_are_merged_with_a_neighbour(counts, merged):
    bins = [(0.5 + number / 10, number % 2, count) for number, count in enumerate(counts)]
    found = merge_small_bins(bins)
    assert tuple(count for _, _, count in found) == merged
    for column in (0, 1):  # the means over the samples do not change
        assert sum(one[column] * one[2] for one in found) == pytest.approx(sum(one[column] * one[2] for one in bins))


def test_bars_stack_the_shares_from_the_first_exit():
    groups = {"class": {"0": (0.5, 0.5), "1": (0.25, 0.75)}, "difficulty": {"3": (0.0, 1.0)}}
    figure = exit_histogram_figure((2, 4), groups, operating_point="drop1", title="t")
    first, second = figure.axes
    assert [(bar.get_x(), bar.get_width()) for bar in first.patches] == [(0, 50), (0, 25), (50, 50), (25, 75)]
    assert [bar.get_width() for bar in second.patches] == [0, 100]
    assert (first.get_ylabel(), second.get_ylabel()) == ("class", "difficulty")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["2", "4"]


def test_bars_are_labelled_with_their_number_of_samples():
    groups = {"class": {"negative": (0.5, 0.5), "a class of a very long name, too long": (0.25, 0.75)}}
    counts = {"class": {"negative": 12}}
    (axes,) = exit_histogram_figure((2, 4), groups, operating_point="drop1", title="t", counts=counts).axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["negative (n = 12)", "a class of a very long…"]
