"""Texts of figures neither leave the page nor cover other texts, for few and many classes, exits and groups."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from acl_lightning.figures import (
    AnglePanel,
    EmbeddingMap,
    embedding_map,
    embedding_map_figure,
    exit_histogram_figure,
    gradient_angles_figure,
    measured_speed_figure,
    per_exit_figure,
    reliability_figure,
    speed_quality_figure,
    training_figure,
)
from acl_lightning.figures.layout import wrapped
from acl_lightning.figures.seed_curves import MAX_BANDS, SeedCurve, criterion_panels_figure, seed_curves_figure

TITLE = "a task with a rather long name, report split of validation, n = 436, and more words than fit into one line"
CRITERIA = ("confidence", "entropy", "margin", "patience", "pcee", "fpabee", "learnt_gate")
SETTINGS = (
    "weight=0.5, gradient_rule=ACLGrad, exit_weights=Uniform, temperature=0.1, learning_rate=0.0001, exit_row=cls"
)


def boxes(figure: Figure) -> dict[str, Bbox]:
    """Bounding box of every drawn text in pixels."""
    every, drawn = set(), set()
    for axis in figure.findobj(Axis):
        if axis.axes.axison:
            drawn |= {label for tick in axis._update_ticks() for label in (tick.label1, tick.label2)}
        every |= {label for label in axis.findobj(Text) if label not in (axis.label, axis.offsetText)}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return {
        f"{number}: {text.get_text()}": Text.get_window_extent(text)  # without the line of an annotation
        for number, text in enumerate(texts)
        if text not in every or text in drawn
    }


def check(figure: Figure) -> None:
    """Assert that the texts of a figure are on the page and do not overlap."""
    FigureCanvasAgg(figure).draw()
    page = figure.bbox
    found = boxes(figure)
    assert found
    for name, box in found.items():
        assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, name
        assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, name
    for (one, first), (other, second) in combinations(found.items(), 2):
        overlap = Bbox.intersection(first, second)
        assert overlap is None or min(overlap.width, overlap.height) <= 2, (one, other)
    for legend in figure.findobj(Legend):
        box = legend.get_window_extent()
        assert not any(box.overlaps(axes.bbox) for axes in figure.axes if axes.axison)


def curve(depth: int, number: int) -> list[tuple[float, float]]:
    layers = np.linspace(1 + number / 10, depth, 40) if depth > 1 else np.ones(1)
    return [(depth / layer, 0.9 - (0.35 - number / 50) * np.exp(-3 * (layer - 1) / depth)) for layer in layers.tolist()]


@pytest.mark.parametrize("depth", [1, 6, 12])
def test_texts_of_the_speed_quality_figure_do_not_overlap(depth):
    curves = {name: curve(depth, number) for number, name in enumerate(CRITERIA)}
    static = {layer: (depth / layer, 0.9 - 0.35 * np.exp(-3 * (layer - 1) / depth)) for layer in range(1, depth + 1)}
    recommended = {f"drop{n}": curves[CRITERIA[n]][-6 * (n + 1) if depth > 1 else 0] for n in range(5)}
    figure = speed_quality_figure(
        curves, static, recommended, metric="accuracy", title=TITLE, baseline=0.51,
        intervals={name: (quality - 0.03, quality + 0.02) for name, (_, quality) in recommended.items()},
    )  # fmt: skip
    check(figure)
    (axes,) = figure.axes
    marks = [
        axes.transData.transform((speed, 100 * quality)) for speed, quality in {*static.values(), *recommended.values()}
    ]
    for text in axes.texts:
        box = Text.get_window_extent(text)
        assert not any(box.contains(*mark) for mark in marks), text.get_text()
        assert axes.bbox.x0 <= box.x0 <= box.x1 <= axes.bbox.x1


@pytest.mark.parametrize("exits", [1, 6, 12])
@pytest.mark.parametrize("grades", [None, dict.fromkeys(range(5), 1.0)])
def test_texts_of_the_per_exit_figure_do_not_overlap(exits, grades):
    qualities = {"accuracy": [0.9] * exits, "f1": [0.8] * exits}
    shares = [1 / exits] * exits
    counts = None if grades is None else dict.fromkeys(grades, 1234)
    check(
        per_exit_figure(
            range(1, exits + 1), qualities, shares, grades, operating_point="drop1", title=TITLE, counts_by_grade=counts
        )
    )


@pytest.mark.parametrize("classes", [2, 12])
@pytest.mark.parametrize("exits", [1, 6])
def test_texts_of_the_exit_histogram_figure_do_not_overlap(classes, exits):
    names = [f"class {number}, whose name is longer than a line and costs $1 or $2" for number in range(classes)]
    groups = {
        "class": {name: [1 / exits] * exits for name in names},
        "difficulty": {str(grade): [1 / exits] * exits for grade in range(5)},
    }
    counts = {kind: dict.fromkeys(members, 1000) for kind, members in groups.items()}
    check(
        exit_histogram_figure(range(1, exits + 1), groups, operating_point="drop1 (pcee 2)", title=TITLE, counts=counts)
    )


@pytest.mark.parametrize("exits", [1, 6])
def test_texts_of_the_reliability_figure_do_not_overlap(exits):
    bins = dict.fromkeys(range(1, exits + 1), ((0.55, 0.5, 20), (0.7, 0.75, 40), (0.99, 0.9, 300)))
    check(reliability_figure(bins, bins, dict.fromkeys(bins, (0.1, 0.02)), title=TITLE))


@pytest.mark.parametrize("groups", [2, 5])
@pytest.mark.parametrize("name", ["ACL {}", f"auxiliary=ACL{{}}, {SETTINGS}"])
def test_texts_of_the_seed_curves_figure_do_not_overlap(groups, name):
    speeds = np.linspace(1, 5, 60)
    curves = {
        name.format(number): SeedCurve(
            3, speeds.tolist(), (0.9 - number / 50 - 0.03 * speeds).tolist(), [0.01] * 60,
            {layer: (6 / layer, 0.8 - number / 50 - 0.05 * 6 / layer) for layer in range(1, 7)},
        )
        for number in range(groups)
    }  # fmt: skip
    cut = {layer: (6 / layer, 0.7 - 0.05 * 6 / layer) for layer in (1, 2, 3, 6)}
    figure = seed_curves_figure(curves, metric="accuracy", title=TITLE, cut=cut)
    check(figure)
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [entry.replace("\n", " ") for entry in entries][:groups] == [f"{label} (n = 3)" for label in curves]
    assert len(figure.axes[0].collections) == (groups if groups <= MAX_BANDS else 0), "bands"
    assert all(len(line) <= 60 for entry in entries for line in entry.splitlines())


@pytest.mark.parametrize("groups", [1, 5])
def test_texts_of_the_criterion_panels_figure_do_not_overlap(groups):
    speeds = [1.0, 2.0, 3.0]
    curve = SeedCurve(3, speeds, [0.9, 0.8, 0.7], None, {1: (3.0, 0.6), 3: (1.0, 0.9)}, oracle=[(2.0, 0.95)])
    panels = {f"method {number}": dict.fromkeys(CRITERIA, curve) for number in range(groups)}
    figure = criterion_panels_figure(panels, metric="accuracy", title=TITLE, cut={1: (3.0, 0.5)})
    check(figure)
    entries = [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]
    assert entries[: len(CRITERIA)] == [name.replace("_", " ") for name in CRITERIA]
    assert len(entries) == len(set(entries)) == len(CRITERIA) + 3


@pytest.mark.parametrize("groups", [2, 5])
def test_texts_of_the_gradient_angles_figure_do_not_overlap(groups):
    curves = {f"seed {seed}": [(step, 80.0 + seed) for step in range(5)] for seed in range(5)}
    rows = [[AnglePanel(f"{SETTINGS}: {term}", curves) for term in ("scl", "acl_embed")] for _ in range(groups)]
    check(gradient_angles_figure(rows, title=TITLE))


@pytest.mark.parametrize("classes", [2, 12])
@pytest.mark.parametrize("columns", [1, 3])
def test_texts_of_the_embedding_map_figure_do_not_overlap(classes, columns, monkeypatch):
    monkeypatch.setattr(embedding_map, "tsne", lambda *_: None)
    generator = np.random.default_rng(0)
    vectors, labels = generator.normal(size=(48, 16)), np.arange(48) % classes
    column = EmbeddingMap("exit 1", vectors, labels, vectors[:classes], {"alignment": 0.5, "uniformity": -2.0})
    figure = embedding_map_figure([column] * columns, [f"category {label}" for label in range(classes)], title=TITLE)
    check(figure)
    handles = figure.legends[0].legend_handles[:classes]
    assert len({(handle.get_marker(), handle.get_color()) for handle in handles}) == classes


def test_texts_of_the_measured_speed_figure_do_not_overlap():
    quality = {"full_depth": 0.9, "drop0": 0.9, "drop1": 0.89, "drop2": 0.881, "speed2": 0.885}
    computed = {name: {"layers": 1 + 0.4 * n, "FLOPs": 0.97 + 0.4 * n} for n, name in enumerate(quality)}
    measured = {
        mode: {name: (1 + 0.3 * n, 0.9 + 0.3 * n, 1.1 + 0.3 * n) for n, name in enumerate(quality)} for mode in "ab"
    }
    check(measured_speed_figure(quality, computed, measured, metric="accuracy", title=TITLE))


@pytest.mark.parametrize("points", [0, 1, 50])
def test_texts_of_the_training_figure_do_not_overlap(points):
    loss = [(step, 1.0 / (step + 1)) for step in range(points)]
    rates = {"backbone": [(step, 1e-4) for step in range(points)], "heads": [(step, 1e-3) for step in range(points)]}
    quality = {"selection split": [(points - 1, 0.8)]} if points else {}
    figure = training_figure({"total loss": loss, "cross_entropy": loss}, rates, quality, title=TITLE)
    check(figure)
    assert len(figure.axes) == (3 if points else 1)
    drawn = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    assert ([*drawn["heads"].get_ydata()] == [1e-3] * points) if points else not drawn


def test_wrapped_lines_are_not_wider_than_the_width():
    text = wrapped(TITLE, 3.0, 11)
    figure = Figure()
    drawn = figure.text(0, 0, text, fontsize=11)
    FigureCanvasAgg(figure).draw()
    assert drawn.get_window_extent().width <= 3.05 * figure.dpi
    assert text.replace("\n", " ") == TITLE
    assert wrapped("x" * 400, 1.0, 11).replace("\n", "") == "x" * 400
