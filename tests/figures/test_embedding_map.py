"""Maps of embeddings and the projections behind them."""

from __future__ import annotations

import builtins
import io
import math

import numpy as np
import pytest

from acl_lightning.figures import EmbeddingMap, embedding_map_figure
from acl_lightning.figures.projection import principal_components, tsne

MEASURES = {"alignment": 0.5, "uniformity": -1.234, "label_margin": math.nan}


def clusters(classes: int = 2, n: int = 24, width: int = 5, seed: int = 0):
    """Unit vectors near an axis per class, their labels, and the axes."""
    generator = np.random.default_rng(seed)
    labels_n = np.arange(n) % classes
    vectors_nD = np.eye(width)[labels_n] + 0.1 * generator.normal(size=(n, width))
    return vectors_nD / np.linalg.norm(vectors_nD, axis=1, keepdims=True), labels_n, np.eye(width)[:classes]


def column(title: str = "CE", **kind):
    vectors_nD, labels_n, stars_CD = clusters(**kind)
    return EmbeddingMap(title, vectors_nD, labels_n, stars_CD, MEASURES)


def drawn(figure):
    file = io.BytesIO()
    figure.savefig(file)
    assert len(file.getvalue()) > 1000
    return figure


def points_of(axes):
    """Coordinates of each scatter in drawing order."""
    return [np.asarray(collection.get_offsets()) for collection in axes.collections]


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def without_sklearn(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **kind):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest, **kind)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_principal_components_are_the_eigenvectors_of_the_covariance():
    vectors_nD, _, stars_CD = clusters(3)
    points, stars, share = principal_components(vectors_nD, stars_CD)
    values, axes = np.linalg.eigh(np.cov(vectors_nD.T))
    expected = (vectors_nD - vectors_nD.mean(axis=0)) @ axes[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-10)
    assert share == pytest.approx(values[-2:].sum() / values.sum())
    # Both arguments have the same projection.
    again, on_samples, _ = principal_components(vectors_nD, vectors_nD[:3])
    np.testing.assert_allclose(on_samples, again[:3], atol=1e-12)
    assert stars.shape == (3, 2)


def test_signs_do_not_depend_on_the_order_of_the_samples():
    vectors_nD, _, stars_CD = clusters()
    points = principal_components(vectors_nD, stars_CD)[0]
    order = np.random.default_rng(1).permutation(len(vectors_nD))
    np.testing.assert_allclose(principal_components(vectors_nD[order], stars_CD)[0], points[order], atol=1e-10)


def test_coordinates_along_directions_without_variance_are_zero():
    line = np.outer(np.arange(4.0), [1.0, 0.0, 2.0])
    points, stars, share = principal_components(line, np.ones((1, 3)))
    assert not points[:, 1].any()
    assert stars[0, 1] == 0
    assert share == pytest.approx(1)
    points, _, share = principal_components(np.ones((4, 3)), np.ones((1, 3)))
    assert not points.any()
    assert math.isnan(share)


def test_tsne_preserves_neighbours_and_is_repeatable():
    pytest.importorskip("sklearn")
    vectors_nD, labels_n, stars_CD = clusters(n=60)
    points, stars = tsne(vectors_nD, stars_CD)
    assert (points.shape, stars.shape) == ((60, 2), (2, 2))
    centres = np.stack([points[labels_n == label].mean(axis=0) for label in (0, 1)])
    distance_nC = np.linalg.norm(points[:, None] - centres, axis=2)
    assert (distance_nC.argmin(axis=1) == labels_n).all()
    assert (np.linalg.norm(stars[:, None] - centres, axis=2).argmin(axis=1) == [0, 1]).all()
    np.testing.assert_array_equal(tsne(vectors_nD, stars_CD)[0], points)


def test_tsne_of_too_few_or_equal_vectors_is_none():
    assert tsne(np.eye(3)[:2], np.eye(3)[:1]) is None
    assert tsne(np.ones((9, 3)), np.ones((1, 3))) is None


def test_each_run_has_a_column_with_principal_components_above_tsne():
    pytest.importorskip("sklearn")
    names = ("CE", "CE+SCL", "ACL")
    figure = drawn(
        embedding_map_figure(
            [column(name, seed=seed) for seed, name in enumerate(names)], ["negative", "positive"], title="sst2"
        )
    )
    assert len(figure.axes) == 6
    assert tuple(axes.get_title(loc="left") for axes in figure.axes[:3]) == names
    assert all(texts_of(axes)[0].startswith("principal components, ") for axes in figure.axes[:3])
    assert [texts_of(axes) for axes in figure.axes[3:]] == [["t-SNE"]] * 3
    limits = {(*axes.get_xlim(), *axes.get_ylim()) for axes in figure.axes[:3]}
    assert len(limits) == 1
    left, right, low, high = next(iter(limits))
    for axes in figure.axes[:3]:
        assert axes.get_box_aspect() == pytest.approx((high - low) / (right - left))
    feet = [axes.get_xlabel().split() for axes in figure.axes]
    assert feet[:3] == [[], [], []]
    assert feet[3] == ["alignment", "0.50", "label", "margin", "undefined", "uniformity", "-1.23"]
    assert figure.get_suptitle() == "sst2"


def test_samples_and_label_embeddings_are_drawn_at_their_projections():
    vectors_nD, labels_n, stars_CD = clusters()
    points, stars, _ = principal_components(vectors_nD, stars_CD)
    figure = embedding_map_figure([column()], ["negative", "positive"], title="")
    if points[labels_n == 0, 0].mean() > 0:  # the first class is drawn on the left
        points, stars = points * [-1, 1], stars * [-1, 1]
    negative, positive, *marks = points_of(figure.axes[0])
    assert negative[:, 0].mean() < positive[:, 0].mean()
    np.testing.assert_allclose(negative, points[labels_n == 0])
    np.testing.assert_allclose(positive, points[labels_n == 1])
    np.testing.assert_allclose(np.concatenate(marks[1::2]), stars)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["negative", "positive", "label embedding"]


def test_the_first_class_is_on_the_left():
    vectors_nD, labels_n, stars_CD = clusters()
    for labels in (labels_n, 1 - labels_n):
        figure = embedding_map_figure([EmbeddingMap("", vectors_nD, labels, stars_CD, {})], ["a", "b"], title="")
        for axes in figure.axes:
            first, second = points_of(axes)[:2]
            assert first[:, 0].mean() < second[:, 0].mean()


def test_classes_differ_by_marker():
    figure = embedding_map_figure([column(classes=5, n=25)], list("abcde"), title="")
    shapes = {collection.get_paths()[0].vertices.tobytes() for collection in figure.axes[0].collections[:5]}
    assert len(shapes) == 5


def test_more_classes_than_styles_are_all_drawn():
    figure = drawn(embedding_map_figure([column(classes=7, n=28, width=8)], list("abcdefg"), title=""))
    assert sum(map(len, points_of(figure.axes[0])[:7])) == 28


def test_without_scikit_learn_a_note_replaces_the_tsne_panels(monkeypatch):
    without_sklearn(monkeypatch)
    figure = drawn(embedding_map_figure([column(), column("ACL")], ["a", "b"], title=""))
    assert len(figure.axes) == 2
    assert figure.legends[0].get_title().get_text() == "t-SNE needs scikit-learn (extra tsne)"
    assert "alignment" in figure.axes[1].get_xlabel()


def test_a_note_replaces_embeddings_that_are_not_finite():
    broken = EmbeddingMap("broken", np.full((24, 5), np.nan), np.arange(24) % 2, np.eye(5)[:2], MEASURES)
    figure = drawn(embedding_map_figure([broken, column()], ["a", "b"], title=""))
    assert "no finite embeddings" in texts_of(figure.axes[0])
    assert points_of(figure.axes[0]) == []
    assert len(points_of(figure.axes[1])) == 6
    assert np.isfinite(figure.axes[0].get_xlim()).all()


@pytest.mark.parametrize("n", [1, 2])
def test_few_samples_without_label_embeddings_are_drawn(n):
    few = EmbeddingMap("few", np.eye(4)[:n], np.zeros(n, dtype=np.int64), np.eye(4)[:0], {})
    figure = drawn(embedding_map_figure([few], ["all samples"], title=""))
    assert len(points_of(figure.axes[0])[0]) == n
    assert len(figure.axes) == 1
    assert figure.legends[0].get_title().get_text() == ""


def test_without_label_embeddings_the_legend_has_classes_only():
    vectors_nD, labels_n, _ = clusters()
    bare = EmbeddingMap("all", vectors_nD, labels_n, np.zeros((0, 5)), {"class_separation": math.nan})
    figure = embedding_map_figure([bare], ["negative", "positive"], title="stsb")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["negative", "positive"]
    assert any(axes.get_xlabel().split() == ["class", "separation", "undefined"] for axes in figure.axes)
