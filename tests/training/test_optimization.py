"""The optimiser step by hand, against a calculation on paper; schedule and groups."""

import math

import pytest
import torch
from torch import nn

from acl_lightning.errors import UserError
from acl_lightning.gradients import ACLGrad, GradientStep, Sum
from acl_lightning.training.optimization import OptimizationConfig, build_optimizer, count_steps, parameter_groups


def three():
    return [(name, nn.Parameter(torch.tensor(value))) for name, value in (("a", 1.0), ("b", 2.0), ("c", 3.0))]


def test_discard_over_all_equals_the_update_computed_by_hand():
    named = three()
    (a, b, c) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named)
    # protected: (2a, 1, -) = (2, 1, none); auxiliary: (1, -3, 1): product over the shared a, b is 2 - 3 = -1: conflict.
    step.add([a * a + b, a - 3 * b + c])
    report = step.finish()
    assert [parameter.grad.item() for parameter in (a, b, c)] == [2, 1, 0]
    assert report.discarded
    assert not report.skipped
    assert report.products_K.tolist() == [5, -1]
    # auxiliary (1, -1, 1): product 2 - 1 = 1: agreement; c is reached by the auxiliary term alone and learns from it.
    step.add([a * a + b, a - b + c])
    assert not step.finish().discarded
    assert [parameter.grad.item() for parameter in (a, b, c)] == [3, 0, 1]


def test_the_decision_is_taken_once_over_the_micro_batches():
    named = three()
    (a, b, _) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named[:2])
    step.add([a, -a + 4 * b])  # alone: conflict
    step.add([b, b])  # alone: agreement
    report = step.finish()
    # means: protected (0.5, 0.5), auxiliary (-0.5, 2.5): product 1: agreement.
    assert report.products_K[1].item() == pytest.approx(1.0)
    assert [a.grad.item(), b.grad.item()] == [0.0, 3.0]


def test_accumulated_sum_is_the_mean_of_the_micro_batches():
    named = three()
    (a, b, c) = (parameter for _, parameter in named)
    step = GradientStep(Sum(), named)
    for factor in (1.0, 2.0, 6.0):
        step.add([factor * a, factor * b])
    step.finish()
    assert (a.grad.item(), b.grad.item(), c.grad) == (3.0, 3.0, None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_protected_gradient_that_is_not_finite_skips_the_step(bad):
    named = three()
    (a, b, _) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named)
    step.add([a * bad, b + a])
    assert step.finish().skipped
    assert a.grad is None
    assert b.grad is None


def test_an_auxiliary_gradient_that_is_not_finite_is_discarded():
    named = three()
    (a, b, _) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named)
    step.add([a + b, a * float("inf")])
    report = step.finish()
    assert report.discarded
    assert not report.skipped
    assert (a.grad.item(), b.grad.item()) == (1.0, 1.0)


def test_under_a_scaler_every_overflow_reaches_the_scaler():
    named = three()
    (a, b, _) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named, scaled=True)
    step.add([a + b, a * float("inf")])
    assert step.finish().skipped
    assert math.isinf(a.grad.item())


def test_frozen_parameters_are_left_out():
    named = three()
    named[1][1].requires_grad_(False)
    step = GradientStep(Sum(), named)
    assert len(step.parameters) == 2


def test_groups_separate_heads_and_undecayed_vectors():
    named = [
        ("backbone.layer.weight", nn.Parameter(torch.zeros(2, 2))),
        ("backbone.layer.bias", nn.Parameter(torch.zeros(2))),
        ("heads.0.weight", nn.Parameter(torch.zeros(2, 2))),
        ("heads.0.bias", nn.Parameter(torch.zeros(2))),
    ]
    config = OptimizationConfig(learning_rate=1e-4, head_learning_rate=1e-3, weight_decay=0.1)
    groups = parameter_groups(named, config)
    found = {(group["lr"], group["weight_decay"]): len(group["params"]) for group in groups}
    assert found == {(1e-4, 0.1): 1, (1e-4, 0.0): 1, (1e-3, 0.1): 1, (1e-3, 0.0): 1}


def test_the_rate_rises_and_falls_linearly():
    _, schedule = build_optimizer(three(), OptimizationConfig(learning_rate=1.0, warmup_fraction=0.2), 10, fused=False)
    rates = []
    for _ in range(11):
        rates.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0])


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ((10, 1, 3, -1, 1.0), 30),
        ((10, 4, 3, -1, 1.0), 9),
        ((10, 4, 3, 5, None), 5),
        ((10, 1, -1, 7, 1.0), 7),
        ((10, 1, 2, -1, 0.5), 10),
        ((10, 1, 2, -1, 3), 6),
    ],
)
def test_steps_are_counted_with_accumulation_and_limits(arguments, steps):
    assert count_steps(*arguments) == steps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((10, 1, -1, -1, 1.0), "max_epochs or trainer.max_steps"), ((0, 1, 1, -1, 1.0), "at least one training batch")],
)
def test_a_schedule_without_an_end_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        count_steps(*arguments)


@pytest.mark.parametrize(
    "setting",
    [
        {"learning_rate": 0.0},
        {"head_learning_rate": -1.0},
        {"weight_decay": -0.1},
        {"warmup_fraction": 1.5},
        {"max_grad_norm": 0.0},
        {"accumulate": 0},
        {"max_skipped_steps": 0},
    ],
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(UserError, match=f"Set model.optimization.{next(iter(setting))}"):
        OptimizationConfig(**setting).check()
