"""Metrics against scikit-learn and scipy, and where they are undefined."""

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.intervals.resampled_quality import RESAMPLED
from acl_lightning.metrics import METRICS, check_metrics, quality
from acl_lightning.outputs import predictions

CORRELATIONS = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}
CLASSIFICATION = {
    "accuracy": sk.accuracy_score,
    "f1": sk.f1_score,
    "matthews": sk.matthews_corrcoef,
    "macro_f1": lambda labels, predicted: sk.f1_score(labels, predicted, average="macro", zero_division=0),
    "balanced_accuracy": lambda labels, predicted: sk.recall_score(
        labels, predicted, labels=sorted(set(labels.tolist())), average="macro", zero_division=0
    ),
}


def reference(name: str, answers: torch.Tensor, labels: torch.Tensor) -> float:
    """The metric as scikit-learn or scipy computes it; 0 for a correlation with a constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant input, no positive sample
        if name in CLASSIFICATION:
            return float(CLASSIFICATION[name](labels.numpy(), answers.numpy()))
        if len(set(answers.tolist())) < 2 or len(set(labels.tolist())) < 2:
            return 0.0
        return float(CORRELATIONS[name](labels.double().numpy(), answers.double().numpy())[0])


def resampled(name: str, answers: torch.Tensor, labels: torch.Tensor) -> float:
    """The metric as the intervals compute it, of a resample that holds every sample once."""
    draws = torch.ones(1, len(labels), dtype=torch.float64)
    return RESAMPLED[name](answers.unsqueeze(0), labels, draws).item()


@st.composite
def classes(draw, num_classes: int):
    """Predictions and labels, often constant or without a class."""
    size = draw(st.integers(1, 40))
    sides = []
    for _ in range(2):
        used = draw(st.sets(st.integers(0, num_classes - 1), min_size=1))
        sides.append(torch.tensor(draw(st.lists(st.sampled_from(sorted(used)), min_size=size, max_size=size))))
    return sides


@st.composite
def values(draw):
    """Predictions and labels in float32: constant, tied, or varying by a millionth around some centre."""
    size = draw(st.integers(2, 40))
    sides = []
    for _ in range(2):
        levels = draw(st.integers(0, 5))
        steps = torch.tensor(draw(st.lists(st.integers(0, levels), min_size=size, max_size=size)))
        width = draw(st.sampled_from([1e-6, 1e-3, 1.0, 1e6]))
        sides.append(draw(st.sampled_from([0.0, 0.1, 2.5, -1.0])) + width * steps.float())
    return sides


@pytest.mark.parametrize("name", CLASSIFICATION)
@given(data=st.data())
def test_classification_metrics_equal_scikit_learn(name, data):
    answers, labels = data.draw(classes(2 if name == "f1" else 4))
    expected = reference(name, answers, labels)
    assert METRICS[name](answers, labels).item() == pytest.approx(expected, abs=1e-12)
    assert resampled(name, answers, labels) == pytest.approx(expected, abs=1e-12)
    assert quality(name, answers, labels) == round(expected, 6)


@pytest.mark.parametrize("name", CORRELATIONS)
@given(sides=values())
def test_correlations_equal_scipy(name, sides):
    expected = reference(name, *sides)
    assert METRICS[name](*sides).item() == pytest.approx(expected, abs=1e-9)
    assert resampled(name, *sides) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("positives", range(34))
def test_matthews_of_a_constant_predictor_is_zero(positives):
    labels = torch.arange(33) < positives
    for constant in (0, 1):
        assert quality("matthews", torch.full((33,), constant), labels.long()) == 0.0


def test_pearson_of_predictions_that_vary_by_a_millionth():
    """float32 sums are off by 0.03 here."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(1000, generator=generator) * 5
    answers = 2.5 + 1e-6 * (labels + torch.randn(1000, generator=generator))
    assert METRICS["pearson"](answers, labels).item() == pytest.approx(reference("pearson", answers, labels), abs=1e-12)


PERFECT_WITH_ONE = {"accuracy", "f1", "macro_f1", "balanced_accuracy"}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("size", [0, 1])
def test_no_sample_and_one_sample_have_a_value(name, size):
    labels = torch.ones(size, dtype=torch.long)
    assert quality(name, labels, labels) == (1.0 if size and name in PERFECT_WITH_ONE else 0.0)


def test_predictions_of_classes_and_values():
    assert predictions(torch.tensor([[0.1, 0.9], [2.0, 1.0]])).tolist() == [1, 0]
    assert predictions(torch.tensor([[0.5], [2.0]])).tolist() == [0.5, 2.0]


@pytest.mark.parametrize("names", [["accuracy", "bleu"], []])
def test_unknown_metrics_are_refused(names):
    with pytest.raises(UserError, match="metrics among accuracy, f1, macro_f1, balanced"):
        check_metrics(names)


@given(data=st.data())
def test_the_explained_variance_equals_scikit_learn(data):
    answers, labels = data.draw(values())
    constant = len(set(labels.tolist())) < 2
    expected = 0.0 if constant else sk.r2_score(labels.double().numpy(), answers.double().numpy())
    assert METRICS["r2"](answers, labels).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("names", "num_classes", "message"),
    [
        (["f1"], 3, r"metrics among accuracy, macro_f1, .* for 3 classes; found f1"),
        (["pearson"], 2, r"for 2 classes; found pearson. Set data.metrics .* to \[accuracy\]"),
        (["accuracy"], 0, r"metrics among pearson, spearman, r2 for a regression; found accuracy"),
    ],
)
def test_metrics_that_a_task_does_not_have_are_refused(names, num_classes, message):
    with pytest.raises(UserError, match=message):
        check_metrics(names, num_classes)
