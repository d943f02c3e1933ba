"""Self-distillation: oracle, RomeBERT's total, detached gradients, bad input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import distillation_oracle
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import CrossEntropy, SelfDistillation, Uniform, WeightedObjective, distillation


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 7), classes=st.integers(2, 4), temperature=st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_students_equal_the_slow_oracle_and_the_last_exit_learns_the_labels(seed, batch, classes, temperature):
    out, labels = outputs(seed, B=batch, C=classes)
    found = SelfDistillation(temperature).per_exit(out, labels)
    logits = out.logits_EBC.tolist()
    for e in range(2):
        assert found[e].item() == pytest.approx(
            distillation_oracle(logits[e], logits[-1], temperature), rel=1e-9, abs=1e-12
        )
    torch.testing.assert_close(found[-1], CrossEntropy().per_exit(out, labels)[-1])


def test_romeberts_total_is_convex_for_students_and_plain_for_the_last_exit():
    out, labels = outputs()
    terms = WeightedObjective(SelfDistillation(3.0), weight=0.9, convex=True, exit_weights=Uniform())(out, labels)
    ce_E, kl_E = CrossEntropy().per_exit(out, labels), distillation(out.logits_EBC, out.logits_EBC[-1], 3.0)
    expected = (0.1 * ce_E[:-1] + 0.9 * kl_E[:-1]).sum() + ce_E[-1]
    torch.testing.assert_close(sum(terms.values()), expected / 3)


def test_the_teacher_gets_no_gradient_from_its_students():
    out, labels = outputs()
    SelfDistillation().per_exit(out, labels)[:-1].sum().backward()
    assert out.logits_EBC.grad[-1].abs().max() == 0
    assert all(gradient.abs().max() > 0 for gradient in out.logits_EBC.grad[:-1])


def test_an_exit_with_the_logits_of_the_teacher_has_loss_zero():
    out, _ = outputs()
    assert distillation(out.logits_EBC, out.logits_EBC[1], 3.0)[1].item() == pytest.approx(0, abs=1e-12)
    shifted = out.logits_EBC + 7.0  # softmax does not see a shift
    torch.testing.assert_close(
        distillation(shifted, out.logits_EBC[-1], 3.0), distillation(out.logits_EBC, out.logits_EBC[-1], 3.0)
    )


@pytest.mark.parametrize("scale", [1e-3, 1e2, 1e6])
def test_confident_logits_stay_finite(scale):
    out, labels = outputs(dtype=torch.float32, scale=scale)
    loss = SelfDistillation().per_exit(out, labels)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert out.logits_EBC.grad.isfinite().all()


def test_the_size_of_the_gradient_does_not_depend_on_a_high_temperature():
    """Why the factor T^2: for high T the gradient tends to that of half a squared distance of centred logits."""
    out, _ = outputs()
    (hot,) = torch.autograd.grad(distillation(out.logits_EBC, out.logits_EBC[-1].detach(), 1e4)[0], out.logits_EBC)
    (hotter,) = torch.autograd.grad(distillation(out.logits_EBC, out.logits_EBC[-1].detach(), 2e4)[0], out.logits_EBC)
    torch.testing.assert_close(hot, hotter, rtol=1e-3, atol=1e-6)
    assert hot.abs().max() > 1e-3


def test_bad_input():
    with pytest.raises(UserError, match=r"a temperature > 0; found 0\.0\. Set temperature to 3 \(the default\)\."):
        SelfDistillation(0.0)
    with pytest.raises(UserError, match="at least 2 exits for self_distillation; found 1"):
        WeightedObjective(SelfDistillation()).check(classes=True, num_exits=1)
