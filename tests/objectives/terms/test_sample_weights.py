"""Sample weights by where samples leave: oracle, limits, normalisation, gradient, criteria, bad input."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import sample_weights_oracle
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence, Entropy, LearntGate
from acl_lightning.exits.criteria.base import exit_index
from acl_lightning.objectives import CrossEntropy, LeaveWeights, ReachWeights, leave_probabilities

KINDS = {"leave": LeaveWeights, "reach": ReachWeights}


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000), threshold=st.floats(0, 1), softness=st.floats(0.05, 1), share=st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_weights_equal_the_slow_oracle_and_have_mean_one(kind, seed, threshold, softness, share):
    out, labels = outputs(seed, B=5)
    logits_EBC = out.logits_EBC.detach()
    weights_EB = KINDS[kind](threshold, softness, share)(logits_EBC)
    expected_EB = sample_weights_oracle(logits_EBC.tolist(), threshold, softness, share, kind)
    torch.testing.assert_close(weights_EB, torch.tensor(expected_EB, dtype=torch.float64))
    torch.testing.assert_close(weights_EB.mean(dim=1), torch.ones(3, dtype=torch.float64))
    losses_EB = -logits_EBC.log_softmax(-1)[:, torch.arange(5), labels]
    found = CrossEntropy(sample_weights=KINDS[kind](threshold, softness, share)).per_exit(out, labels)
    torch.testing.assert_close(found, (losses_EB * weights_EB).mean(dim=1))


def test_without_softness_samples_leave_as_at_inference():
    logits_EBC = outputs(B=40, E=4)[0].logits_EBC.detach()
    certainty_EB = Entropy().certainty(logits_EBC)
    reach_EB, leave_EB = leave_probabilities(certainty_EB, 0.3, 1e-6)
    torch.testing.assert_close(leave_EB.sum(dim=0), torch.ones(40))
    exit_B = exit_index(certainty_EB, torch.tensor([0.3]))[0]
    assert leave_EB.argmax(dim=0).tolist() == exit_B.tolist()
    assert len(set(exit_B.tolist())) == 4
    torch.testing.assert_close(reach_EB, (torch.arange(4)[:, None] <= exit_B).float())


def test_class_weights_and_smoothing_combine_with_sample_weights():
    out, labels = outputs()
    term = CrossEntropy(0.1, [0.5, 2.0, 0.25], LeaveWeights(0.2))
    weights_EB = LeaveWeights(0.2)(out.logits_EBC)
    class_C = torch.tensor([0.5, 2.0, 0.25], dtype=torch.float64)
    log_p_EBC = out.logits_EBC.log_softmax(-1) * class_C
    losses_EB = -0.9 * log_p_EBC[:, torch.arange(8), labels] - 0.1 / 3 * log_p_EBC.sum(dim=-1)
    expected_E = (losses_EB * weights_EB).sum(dim=1) / (class_C[labels] * weights_EB).sum(dim=1)
    torch.testing.assert_close(term.per_exit(out, labels), expected_E)


def test_the_weights_are_detached():
    """The gradient is that of the loss with constant weights."""
    out, labels = outputs()
    term = CrossEntropy(sample_weights=LeaveWeights(0.2, 0.05, 0.0))
    weights_EB = LeaveWeights(0.2, 0.05, 0.0)(out.logits_EBC)
    (found,) = torch.autograd.grad(term.per_exit(out, labels).sum(), out.logits_EBC)
    losses_EB = -out.logits_EBC.log_softmax(-1)[:, torch.arange(8), labels]
    (expected,) = torch.autograd.grad((losses_EB * weights_EB).mean(dim=1).sum(), out.logits_EBC)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_where_no_sample_arrives_and_for_a_share_of_one(kind):
    """The first exit is certain of every sample, so that no sample reaches the others."""
    out, _ = outputs(dtype=torch.float32)
    logits_EBC = out.logits_EBC.detach().clone()
    logits_EBC[0] = torch.tensor([100.0, 0.0, 0.0])
    weights_EB = KINDS[kind](0.5, 1e-3, 0.0)(logits_EBC)
    assert torch.equal(weights_EB, torch.ones(3, 8))
    uniform_EB = KINDS[kind](0.2, uniform_share=1.0)(out.logits_EBC)
    torch.testing.assert_close(uniform_EB, torch.ones(3, 8))


def test_the_first_exit_answers_easy_samples_and_the_last_difficult_ones():
    logits_EBC = torch.zeros(2, 2, 2)
    logits_EBC[:, 0, 0] = 4.0  # the first sample is easy
    leave_EB = LeaveWeights(uniform_share=0.0)(logits_EBC)
    reach_EB = ReachWeights(uniform_share=0.0)(logits_EBC)
    assert leave_EB[0, 0] > 1.9
    assert leave_EB[1, 0] < 0.1
    assert reach_EB[0].tolist() == [1, 1]
    torch.testing.assert_close(reach_EB[1], leave_EB[1])


def test_a_criterion_of_the_exits_gives_the_certainty():
    logits_EBC = outputs(dtype=torch.float32)[0].logits_EBC.detach()
    torch.testing.assert_close(LeaveWeights(criterion=Entropy())(logits_EBC), LeaveWeights()(logits_EBC))
    assert (LeaveWeights(criterion=Confidence())(logits_EBC) - LeaveWeights()(logits_EBC)).abs().max() > 0.05


def test_a_criterion_that_reads_a_gate_is_refused():
    out, labels = outputs()
    term = CrossEntropy(sample_weights=LeaveWeights(criterion=LearntGate()))
    with pytest.raises(UserError, match=r"a function of the exit logits; found LearntGate\. Set criterion to null"):
        term.per_exit(replace(out, gates_EB=torch.zeros(3, 8)), labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": float("nan")}, "a finite threshold; found nan"),
        ({"softness": 0.0}, "a softness > 0; found 0.0"),
        ({"uniform_share": 1.5}, r"a uniform_share in \[0, 1\]; found 1.5"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        LeaveWeights(**arguments)
