"""Figure of measured speed-ups."""

import pytest

from acl_lightning.figures import measured_speed_figure


def test_points_are_drawn_at_their_speed_up_and_quality():
    figure = measured_speed_figure(
        {"full_depth": 0.9, "drop1": 0.88},
        {"full_depth": {"layers": 1.0, "FLOPs": 0.97}, "drop1": {"layers": 2.0, "FLOPs": 2.4}},
        {
            "batch": {"full_depth": (1.1, 1.0, 1.2), "drop1": (2.5, 2.3, 2.6)},
            "throughput": {"full_depth": (1.3, 1.2, 1.4), "drop1": (3.1, 3.0, 3.3)},
        },
        metric="accuracy",
        title="sst2, cpu",
    )
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["by layers"].get_xdata()) == [1.0, 2.0]
    assert list(lines["by FLOPs"].get_xdata()) == [0.97, 2.4]
    assert list(lines["by layers"].get_ydata()) == pytest.approx([90, 88])
    bars = {container.get_label(): container for container in axes.containers}
    assert set(bars) == {"measured, batch", "measured, throughput"}
    data, _, (whiskers,) = bars["measured, throughput"]
    assert list(data.get_xdata()) == [1.3, 3.1]
    assert [[point[0] for point in segment] for segment in whiskers.get_segments()] == [
        pytest.approx([1.2, 1.4]),
        pytest.approx([3.0, 3.3]),
    ]
    assert {text.get_text() for text in axes.texts} == {"full_depth", "drop1"}
    assert axes.get_ylabel() == "accuracy (%)"
    assert axes.get_xlabel() == "speed-up over the plain model"


def test_a_figure_without_points_is_empty():
    assert len(measured_speed_figure({}, {}, {}, metric="accuracy", title="t").axes) == 1
