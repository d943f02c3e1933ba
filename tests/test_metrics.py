"""Metrics against scikit-learn and scipy, and where they are undefined."""

import pytest
import torch
from scipy import stats
from sklearn import metrics as sk

from acl_lightning.errors import UserError
from acl_lightning.metrics import ExitMetrics, build_metrics, predictions, quality

ORACLES = {
    "accuracy": sk.accuracy_score,
    "f1": sk.f1_score,
    "matthews": sk.matthews_corrcoef,
    "pearson": lambda y, p: stats.pearsonr(y, p)[0],
    "spearman": lambda y, p: stats.spearmanr(y, p)[0],
}


@pytest.mark.parametrize("name", ORACLES)
def test_equal_to_the_reference(name):
    generator = torch.Generator().manual_seed(0)
    regression = name in {"pearson", "spearman"}
    labels = torch.rand(50, generator=generator) if regression else torch.randint(2, (50,), generator=generator)
    answers = labels + torch.rand(50, generator=generator) if regression else (labels ^ (torch.arange(50) % 3 == 0))
    expected = ORACLES[name](labels.numpy(), answers.numpy())
    assert quality(name, answers, labels, 1 if regression else 2) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("name", ORACLES)
def test_constant_predictions_have_a_value(name):
    labels = torch.tensor([0, 1, 1, 0])
    answers = torch.zeros(4) if name in {"pearson", "spearman"} else torch.zeros(4, dtype=torch.long)
    value = quality(name, answers, labels.float() if answers.is_floating_point() else labels, 2)
    assert value == (0.5 if name == "accuracy" else 0.0)


def test_predictions_of_classes_and_values():
    assert predictions(torch.tensor([[0.1, 0.9], [2.0, 1.0]])).tolist() == [1, 0]
    assert predictions(torch.tensor([[0.5], [2.0]])).tolist() == [0.5, 2.0]


@pytest.mark.parametrize("names", [["accuracy", "bleu"], []])
def test_unknown_metrics_are_refused(names):
    with pytest.raises(UserError, match="metrics among accuracy, f1, matthews, pearson, spearman"):
        build_metrics(names, 2)


def test_sets_exits_and_the_selection_half_do_not_mix():
    metrics = ExitMetrics(["accuracy"], 2, exit_layers=(2, 4), num_sets=3)
    labels = torch.tensor([0, 1, 1, 0])
    right, wrong = torch.nn.functional.one_hot(labels).float(), torch.nn.functional.one_hot(1 - labels).float()
    half = torch.tensor([True, True, False, False])
    mixed = torch.cat([right[:2], wrong[2:]])  # right on the selection half, wrong on the other
    metrics.update(torch.stack([wrong, mixed]), labels, half, 0)
    metrics.update(torch.stack([right, right]), labels, half, 1)
    found = {(number, layer): values["accuracy"].item() for number, layer, values in metrics.compute()}
    assert found == {(0, 2): 0.0, (0, 4): 0.5, (1, 2): 1.0, (1, 4): 1.0}
    assert metrics.on_selection_half().tolist() == [0.0, 1.0]
    unmarked = ExitMetrics(["accuracy"], 2, exit_layers=(1,))
    unmarked.update(right.unsqueeze(0), labels, None)
    assert unmarked.on_selection_half() is None
