"""Counts, ratios and figure of the class report."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acl_lightning.callbacks import ClassReport
from acl_lightning.callbacks.class_report import class_rows, confusion_pairs
from acl_lightning.errors import UserError
from acl_lightning.figures import confusion_figure
from acl_lightning.figures.confusion import OTHER, _matrix


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_ratios_are_those_of_scikit_learn(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    labels, predicted = zip(*pairs, strict=True)
    rows = class_rows(2, confusion_pairs(torch.tensor(predicted), torch.tensor(labels)), ["a", "b", "c", "d"])
    classes = sorted({*labels, *predicted})
    assert [row[:2] for row in rows] == [(2, "abcd"[index]) for index in classes]
    expected = metrics.precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    for position, column in enumerate((4, 5, 6, 2)):
        assert [row[column] or 0 for row in rows] == pytest.approx(expected[position].tolist())
    for row in rows:
        assert (row[4] is None) == (row[3] == 0)  # a precision without predictions is empty, not 0


def test_the_figure_draws_the_most_confused_of_many_classes():
    pairs = {(index, index): 5 for index in range(500)} | {(7, 9): 3, (100, 7): 2}
    figure = confusion_figure(
        {1: pairs, 2: pairs, 6: pairs}, [f"c{index}" for index in range(500)], title="t", max_classes=3
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"exit at layer {layer}" for layer in (1, 2, 6)]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["c7", "c9", "c100", OTHER]
    assert _matrix(pairs, [7, 9, 100], 4).tolist() == [[5, 3, 0, 0], [0, 5, 0, 0], [2, 0, 5, 0], [0, 0, 0, 2485]]
    assert len(confusion_figure({3: {(0, 1): 2}}, ["a", "b"], title="t").axes) == 1


def test_too_few_classes_in_the_figure_are_refused():
    with pytest.raises(UserError, match="figure_classes of at least 2; found 1"):
        ClassReport(figure_classes=1)
