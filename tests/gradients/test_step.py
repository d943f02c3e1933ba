"""The gradient step against calculations on paper: scopes, collectors, check interval, accumulation, refusals."""

import math
import warnings

import pytest
import torch
from torch import nn

from acl_lightning.errors import UserError
from acl_lightning.gradients import (
    ACLGrad,
    AllParameters,
    AutogradRows,
    BackwardRows,
    BatchedRows,
    GradientStep,
    PerLayer,
    PerTensor,
    ProtectedPCGrad,
    Representation,
    Sum,
    TopLayers,
)

COLLECTORS = [AutogradRows(), BackwardRows(), BatchedRows()]
SCOPES = [AllParameters(), PerLayer(), PerTensor(), TopLayers(), Representation()]


def kind(thing):
    return type(thing).__name__


def three():
    """Three scalar parameters, as the layers of a backbone and a head are called."""
    names = ("backbone.layer.0.a", "backbone.layer.1.b", "heads.0.c")
    return [(name, nn.Parameter(torch.tensor(float(i)))) for i, name in enumerate(names, start=1)]


def gradients(named):
    return [None if parameter.grad is None else parameter.grad.item() for _, parameter in named]


# -- decisions on paper ------------------------------------------------------------------------------------------------

# At (a, b, c) = (1, 2, 3) the protected a^2 + b has the gradient (2, 1, none), the auxiliary a - 3b + c (1, -3, 1).
# Products: a 2, b -3, together -1; c is reached by one alone. |g_0|^2 = 5 over a, b.
ON_PAPER = {
    "drop, all": (ACLGrad(), AllParameters(), [2, 1, 0], [5, -1], True),
    "project, all": (ProtectedPCGrad(), AllParameters(), [1.2 * 2 + 1, 1.2 - 3, 1], [5, -1], False),
    "drop, per layer": (ACLGrad(), PerLayer(), [3, 1, 1], [5, -1], True),
    "project, per layer": (ProtectedPCGrad(), PerLayer(), [3, 1, 1], [5, -1], False),
    "drop, per tensor": (ACLGrad(), PerTensor(), [3, 1, 1], [5, -1], True),
    "drop, top layer": (ACLGrad(), TopLayers(1), [2, 1, None], [1, -3], True),
    "project, top layer": (ProtectedPCGrad(), TopLayers(1), [4 * 2 + 1, 4 - 3, 1], [1, -3], False),
    "drop, top two layers": (ACLGrad(), TopLayers(2), [2, 1, None], [5, -1], True),
    "drop, more layers than there are": (ACLGrad(), TopLayers(9), [2, 1, None], [5, -1], True),
}


@pytest.mark.parametrize("collector", COLLECTORS, ids=kind)
@pytest.mark.parametrize(("rule", "scope", "update", "products", "discarded"), ON_PAPER.values(), ids=ON_PAPER)
def test_every_scope_equals_the_update_computed_by_hand(rule, scope, update, products, discarded, collector):
    named = three()
    (a, b, c) = (parameter for _, parameter in named)
    step = GradientStep(rule, named, scope, collector)
    for _ in range(2):  # nothing is left over from the first
        step.add([a * a + b, a - 3 * b + c])
        report = step.finish()
        assert gradients(named) == pytest.approx(update)
        assert report.products_K.tolist() == pytest.approx(products)
        assert (report.discarded, report.skipped) == (discarded, False)
        step.clear()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_representation_decides_for_all_parameters(sign):
    """h = (a, b): gradients (1, 2) and sign * (3, -1) there: products 5 and sign * 1."""
    named = three()
    (a, b, _) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named, Representation())
    h = torch.stack([a * a, b]).reshape(1, 1, 2)
    step.add([h[0, 0, 0] + 2 * h[0, 0, 1], sign * (3 * h[0, 0, 0] - h[0, 0, 1])], h)
    report = step.finish()
    assert report.products_K.tolist() == [5, sign]
    assert report.discarded == (sign < 0)
    # dh/da = 2a = 2.
    assert gradients(named) == ([8, 1, None] if sign > 0 else [2, 2, None])


def test_a_proxy_decides_micro_batch_by_micro_batch():
    named = three()
    (_, b, _) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named, TopLayers())
    step.add([b, -2 * b])  # conflict: 1 is left
    step.add([b, 4 * b])  # agreement: 5
    report = step.finish()
    assert b.grad.item() == 3
    assert report.products_K.tolist() == [1, 1]
    assert report.discarded


@pytest.mark.parametrize("scope", SCOPES, ids=kind)
@pytest.mark.parametrize("rule", [ACLGrad(), ProtectedPCGrad()], ids=kind)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_protected_gradient_that_is_not_finite_skips_the_step(bad, rule, scope):
    named = three()
    (a, b, _) = (parameter for _, parameter in named)
    step = GradientStep(rule, named, scope)
    h = torch.stack([a, b]).reshape(1, 1, 2)
    for micro_batches in ([bad], [1.0, bad], [bad, 1.0]):
        for factor in micro_batches:
            step.add([h.sum() * factor, h.sum()], h)
            h = torch.stack([a, b]).reshape(1, 1, 2)
        report = step.finish()
        assert report.skipped
        assert not report.discarded
        assert gradients(named) == [None, None, None]


@pytest.mark.parametrize("collector", [AutogradRows(), BackwardRows()], ids=kind)
@pytest.mark.parametrize("scope", SCOPES, ids=kind)
@pytest.mark.parametrize("rule", [ACLGrad(), ProtectedPCGrad()], ids=kind)
def test_an_auxiliary_gradient_that_is_not_finite_is_left_out(rule, scope, collector):
    named = three()
    (a, b, _) = (parameter for _, parameter in named)
    step = GradientStep(rule, named, scope, collector)
    h = torch.stack([a, b]).reshape(1, 1, 2)
    step.add([h.sum(), h.sum() * math.inf], h)
    report = step.finish()
    assert report.discarded
    assert not report.skipped
    assert gradients(named)[:2] == [1.0, 1.0]


def test_batched_rows_cannot_tell_whose_gradient_is_not_finite():
    """Zero times infinity, in the row of the protected term: the step is skipped, as the collector says."""
    named = three()
    step = GradientStep(ACLGrad(), named, collector=BatchedRows())
    step.add([named[0][1] * 1, named[0][1] * math.inf])
    assert step.finish().skipped


@pytest.mark.parametrize("scope", SCOPES, ids=kind)
def test_under_a_scaler_every_overflow_reaches_the_scaler(scope):
    named = three()
    (a, b, _) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named, scope, scaled=True)
    h = torch.stack([a, b]).reshape(1, 1, 2)
    step.add([h.sum(), h.sum() * math.inf], h)
    assert step.finish().skipped
    assert math.isinf(a.grad.item())


def test_one_term_needs_no_decision():
    for scope in SCOPES:
        named = three()
        step = GradientStep(ACLGrad(), named, scope)
        step.add([named[0][1] * 3])
        report = step.finish()
        assert report.products_K.tolist() == [9]
        assert gradients(named) == [3, None, None]


@pytest.mark.parametrize("collector", COLLECTORS, ids=kind)
def test_gradients_of_a_step_share_no_memory(collector):
    """Clipping writes in place: autograd hands out one tensor for both sides of a sum, and expanded ones."""
    named = [(name, nn.Parameter(torch.ones(3))) for name in "ab"]
    (a, b) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named, collector=collector)
    step.add([(a + b).sum(), (a + b).square().sum()])
    step.finish()
    a.grad.mul_(2)
    assert a.grad.tolist() == [10, 10, 10]
    assert b.grad.tolist() == [5, 5, 5]


# -- micro-batches of different sizes ----------------------------------------------------------------------------------

RAGGED = (4, 4, 3, 1)


def regression_model(seed: int):
    """A small model in float64, and 12 samples of which the last is up to a hundred times as long as the others."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"backbone.layer.0.w": (5, 6), "backbone.layer.1.w": (6, 4), "heads.0.w": (4, 3)}
    named = [
        (name, nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)))
        for name, shape in shapes.items()
    ]
    inputs = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    inputs[-1] *= 10 ** torch.rand((), generator=generator, dtype=torch.float64).mul(2)
    return named, inputs, torch.randint(3, (2, 12), generator=generator)


def two_losses(named, inputs, labels):
    """Cross-entropies with two sets of labels, and the hidden vectors (1, B, D) that both read."""
    first, second, head = (parameter for _, parameter in named)
    hidden = torch.tanh(torch.tanh(inputs @ first) @ second).unsqueeze(0)
    return [nn.functional.cross_entropy(hidden[0] @ head, labels_B) for labels_B in labels], hidden


def stepped(seed: int, sizes, rule, scope=None, collector=None):
    """Gradients and report of a step over micro-batches of these sizes."""
    named, inputs, labels = regression_model(seed)
    step = GradientStep(rule, named, scope, collector)
    for part in torch.arange(len(inputs)).split(list(sizes)):
        step.add(*two_losses(named, inputs[part], labels[:, part]), samples=len(part))
    report = step.finish()
    return [parameter.grad for _, parameter in named], report


@pytest.mark.parametrize("collector", COLLECTORS, ids=kind)
@pytest.mark.parametrize("rule", [Sum(), ACLGrad(), ProtectedPCGrad()], ids=kind)
def test_micro_batches_of_different_sizes_equal_one_batch(rule, collector):
    """Gradients and decisions, for terms that are means over samples; some seeds conflict, some do not."""
    decisions = set()
    for seed in range(30):
        found, report = stepped(seed, RAGGED, rule, None, collector)
        expected, whole = stepped(seed, [12], rule, None, collector)
        assert (report.discarded, report.skipped) == (whole.discarded, whole.skipped)
        torch.testing.assert_close(report.products_K, whole.products_K, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
        decisions.add(report.discarded)
    assert decisions == ({False, True} if isinstance(rule, ACLGrad) else {False})


@pytest.mark.parametrize("scope", [TopLayers(), Representation()], ids=kind)
def test_a_proxy_weights_micro_batches_by_samples(scope):
    """The weighted sum of what each micro-batch gives alone."""
    named, inputs, labels = regression_model(0)
    alone = []
    for part in torch.arange(12).split(list(RAGGED)):
        step = GradientStep(ACLGrad(), named, scope)
        step.add(*two_losses(named, inputs[part], labels[:, part]))
        products_K = step.finish().products_K
        alone.append([len(part) / 12 * tensor for tensor in (*(p.grad for _, p in named), products_K)])
        step.clear()
    *expected, products_K = (sum(parts) for parts in zip(*alone, strict=True))
    found, report = stepped(0, RAGGED, ACLGrad(), scope)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(report.products_K, products_K, rtol=1e-9, atol=1e-12)


def test_a_term_without_a_gradient_may_be_accumulated():
    named = three()
    step = GradientStep(ACLGrad(), named)
    for samples in (2, 1):
        step.add([named[0][1] * 3, torch.tensor(1.0)], samples=samples)
    step.finish()
    assert gradients(named)[0] == pytest.approx(3)


# -- check interval ----------------------------------------------------------------------------------------------------


def signs_seen(step, named, signs):
    """Gradients of the first parameter over steps with terms `a` and `sign * a`."""
    a = named[0][1]
    found = []
    for sign in signs:
        h = a.reshape(1, 1, 1) * 1
        step.add([h.sum() + named[1][1], sign * h.sum() + sign * named[1][1]], h)
        report = step.finish()
        found.append((a.grad.item(), report.discarded, report.products_K[1].item()))
    return found


@pytest.mark.parametrize("scope", [AllParameters(), TopLayers(), Representation()], ids=kind)
def test_between_checks_the_last_decision_holds(scope):
    named = three()
    step = GradientStep(ACLGrad(), named, scope, check_every_n_steps=3)
    size = 2 if isinstance(scope, AllParameters) else 1
    found = signs_seen(step, named, [1, -1, -1, -1, 1, 1, 1])
    assert [gradient for gradient, _, _ in found] == [2, 0, 0, 1, 1, 1, 2]
    assert [discarded for _, discarded, _ in found] == [False] * 3 + [True] * 3 + [False]
    assert [product for _, _, product in found] == [size] * 3 + [-size] * 3 + [size]


def test_the_current_decision_is_saved_in_a_checkpoint():
    named = three()
    step = GradientStep(ACLGrad(), named, check_every_n_steps=3)
    whole = signs_seen(step, named, [-1, 1, 1, 1])
    named = three()
    first = GradientStep(ACLGrad(), named, check_every_n_steps=3)
    start = signs_seen(first, named, [-1, 1])
    resumed = GradientStep(ACLGrad(), named, check_every_n_steps=3)
    resumed.interval.load_state_dict(first.interval.state_dict())
    assert start + signs_seen(resumed, named, [1, 1]) == whole
    assert [discarded for _, discarded, _ in whole] == [True, True, True, False]
    assert GradientStep(ACLGrad(), named).interval.state_dict() == {}


def test_a_skipped_step_is_no_check():
    named = three()
    step = GradientStep(ACLGrad(), named, check_every_n_steps=5)
    a = named[0][1]
    step.add([a * math.nan, a])
    assert step.finish().skipped
    step.add([a, -a])
    assert step.finish().discarded
    step.add([a * math.nan, a])  # between checks: the auxiliary term is out, the protected one is not finite
    assert step.finish().skipped
    assert a.grad is None


# -- observers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "rows"),
    [
        (AllParameters(), [[2.0, 1.0, None], [1.0, -3.0, 1.0]]),
        (TopLayers(), [[1.0], [-3.0]]),
    ],
    ids=kind,
)
def test_observers_see_the_rows_that_were_compared(scope, rows):
    named = three()
    (a, b, c) = (parameter for _, parameter in named)
    step = GradientStep(ACLGrad(), named, scope)
    seen = []
    step.observers.append(lambda found: seen.append([[g if g is None else g.item() for g in row] for row in found]))
    step.add([a * a + b, a - 3 * b + c])
    step.finish()
    assert seen == [rows]


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [PerLayer(), PerTensor()], ids=kind)
def test_an_interval_needs_a_scope_of_one_decision(scope):
    with pytest.raises(
        UserError, match=r"a single group for check_every_n_steps = 2; found Per\w+ with 3 groups\. Set"
    ):
        GradientStep(ACLGrad(), three(), scope, check_every_n_steps=2)


@pytest.mark.parametrize("every", [0, -1])
def test_an_interval_is_at_least_one(every):
    with pytest.raises(UserError, match=rf"expected check_every_n_steps >= 1; found {every}"):
        GradientStep(ACLGrad(), three(), check_every_n_steps=every)


def test_a_scope_that_selects_nothing_is_refused():
    with pytest.raises(UserError, match=r"trained layers of the backbone for the scope TopLayers; found none\. Unfree"):
        GradientStep(ACLGrad(), three()[2:], TopLayers())
    with pytest.raises(UserError, match=r"at least one layer for the scope TopLayers; found 0"):
        TopLayers(0)
    with pytest.raises(UserError, match=r"expected parameters to train; found none"):
        GradientStep(ACLGrad(), [])
    step = GradientStep(ACLGrad(), three(), Representation())
    with pytest.raises(UserError, match=r"embeddings with a graph for the scope Representation; found none"):
        step.add([three()[0][1] * 1, three()[0][1] * 2])


@pytest.mark.parametrize(
    ("settings", "ignored"),
    [
        ({"scope": TopLayers()}, "scope"),
        ({"check_every_n_steps": 2}, "check_every_n_steps"),
        ({"scope": TopLayers(), "check_every_n_steps": 2}, "scope and check_every_n_steps"),
    ],
)
def test_a_setting_that_the_rule_ignores_warns(settings, ignored):
    with pytest.warns(UserWarning, match=f"the rule Sum compares no gradients: {ignored} ignored"):
        GradientStep(Sum(), three(), **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GradientStep(Sum(), three())
        GradientStep(ACLGrad(), three(), **settings)
