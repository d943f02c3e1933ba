"""Cross-entropy with smoothed labels and weighted classes: oracle, torch as a reference, empty sums, bad input."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import cross_entropy_oracle
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import CrossEntropy, WeightedObjective

#: Exact in binary: the weights are kept in float32.
WEIGHTS = [0.5, 2.0, 0.25]


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 7), smoothing=st.sampled_from([0.0, 0.1, 0.9]))
@settings(max_examples=30, deadline=None)
def test_it_equals_the_slow_oracle_and_torch(seed, batch, smoothing):
    out, labels = outputs(seed, B=batch)
    for weights in (None, WEIGHTS):
        found = CrossEntropy(smoothing, weights).per_exit(out, labels)
        for e in range(3):
            expected = cross_entropy_oracle(out.logits_EBC[e].tolist(), labels.tolist(), weights or [1] * 3, smoothing)
            assert found[e].item() == pytest.approx(expected, rel=1e-9)
            tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
            theirs = F.cross_entropy(out.logits_EBC[e], labels, weight=tensor, label_smoothing=smoothing)
            torch.testing.assert_close(found[e], theirs)


def test_balanced_classes_have_the_same_total_weight():
    term = CrossEntropy(class_weights="balanced")
    term.prepare(torch.tensor([30, 10, 0]))
    torch.testing.assert_close(term.weights_C, torch.tensor([40 / 90, 40 / 30, 0.0]))
    out, _ = outputs(B=4, C=3)
    labels = torch.tensor([0, 0, 0, 1])
    losses = -out.logits_EBC.log_softmax(-1)[:, torch.arange(4), labels]
    expected = (losses[:, :3].mean(dim=1) + losses[:, 3]) / 2
    torch.testing.assert_close(term.per_exit(out, labels), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_without_weight_give_a_zero_with_a_graph(smoothing):
    out, _ = outputs(B=3)
    loss = CrossEntropy(smoothing, [0.0, 1.0, 1.0]).per_exit(out, torch.zeros(3, dtype=torch.long)).sum()
    loss.backward()
    assert loss.item() == 0
    assert out.logits_EBC.grad.abs().max() == 0


def test_class_weights_are_not_in_a_checkpoint():
    term = CrossEntropy(class_weights="balanced")
    term.prepare(torch.tensor([3, 1]))
    assert term.state_dict() == {}
    assert list(term.parameters()) == []


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(UserError, match=r"a label_smoothing in \[0, 1\); found"):
        CrossEntropy(label_smoothing=smoothing)


@pytest.mark.parametrize("weights", [[], [-1.0, 2.0], [0.0, 0.0], [float("inf"), 1.0], [float("nan"), 1.0]])
def test_bad_class_weights_are_refused(weights):
    with pytest.raises(UserError, match="class weights >= 0, at least one positive; found"):
        CrossEntropy(class_weights=weights)


def test_a_misspelt_setting_of_class_weights_is_refused():
    with pytest.raises(UserError, match="\"balanced\" or null; found 'balance'"):
        CrossEntropy(class_weights="balance")


def test_class_weights_of_the_wrong_number_are_refused_before_training_and_in_it():
    term = CrossEntropy(class_weights=[1.0, 2.0])
    with pytest.raises(UserError, match="3 class weights, one per class; found 2"):
        term.prepare(torch.tensor([1, 1, 1]))
    with pytest.raises(UserError, match="3 class weights, one per class; found 2"):
        WeightedObjective(protected=term)(*outputs())


def test_balanced_weights_need_counts():
    with pytest.raises(UserError, match=r"the class counts of the training data .* Call prepare\(class_counts\)"):
        WeightedObjective(protected=CrossEntropy(class_weights="balanced"))(*outputs())
