"""Rules on matrices: contract, hostile families, first-order guarantee, an independent PCGrad."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchjd.aggregation import PCGrad

from acl_lightning.gradients import ACLGrad, ProtectedPCGrad, Sum, combine, products, products_with_protected

RULES = [ACLGrad(), ProtectedPCGrad(), Sum()]
COMPARING = [ACLGrad(), ProtectedPCGrad()]

SEEDS = st.integers(0, 10_000)
EXPONENTS = st.lists(st.integers(-15, 15), min_size=4, max_size=4)


def named(rule):
    return type(rule).__name__


def matrix(seed, K=2, N=6, scales=None):
    rows = torch.randn(K, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows if scales is None else rows * torch.tensor(scales, dtype=torch.float64).unsqueeze(1)


@given(seed=SEEDS, K=st.integers(1, 4), exponents=EXPONENTS)
@settings(max_examples=100, deadline=None)
def test_acl_grad_keeps_exactly_the_rows_that_agree(seed, K, exponents):
    rows = matrix(seed, K, scales=[10.0**x for x in exponents[:K]])
    expected = rows[0].clone()
    for row in rows[1:]:
        if row @ rows[0] >= 0:
            expected += row
    torch.testing.assert_close(ACLGrad()(rows), expected)


@given(seed=SEEDS, K=st.integers(1, 4), exponents=EXPONENTS)
@settings(max_examples=100, deadline=None)
def test_protected_pcgrad_removes_the_component_along_the_protected_row(seed, K, exponents):
    rows = matrix(seed, K, scales=[10.0**x for x in exponents[:K]])
    expected = rows[0].clone()
    for row in rows[1:]:
        expected += row - min(0.0, (row @ rows[0]).item()) / (rows[0] @ rows[0]) * rows[0]
    # Where rows differ by 1e30 in length the part along the short one is below the rounding of the long one.
    torch.testing.assert_close(ProtectedPCGrad()(rows), expected, rtol=1e-9, atol=1e-12 * rows.abs().max().item())


@pytest.mark.parametrize("rule", COMPARING, ids=named)
@given(seed=SEEDS, exponents=EXPONENTS, dtype=st.sampled_from([torch.float32, torch.float64]), K=st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_a_step_never_raises_the_protected_term(rule, seed, exponents, dtype, K):
    """`<g, g_0> >= |g_0|^2`, up to the rounding of the longest row."""
    rows = matrix(seed, K, scales=[10.0**x for x in exponents[:K]]).to(dtype)
    update, protected = rule(rows).double(), rows[0].double()
    rounding = 8 * torch.finfo(dtype).eps * protected.norm() * rows.double().norm(dim=1).sum()
    assert update @ protected >= protected @ protected - rounding


#: Hand-placed auxiliary rows against (2, 0): the results of dropping and of projecting.
FAMILIES = {
    "parallel": ([1.0, 0.0], [3.0, 0.0], [3.0, 0.0]),
    "opposite": ([-1.0, 0.0], [2.0, 0.0], [2.0, 0.0]),
    "oblique": ([-1.0, 3.0], [2.0, 0.0], [2.0, 3.0]),
    "orthogonal": ([0.0, 5.0], [2.0, 5.0], [2.0, 5.0]),
    "zero": ([0.0, 0.0], [2.0, 0.0], [2.0, 0.0]),
    "nan": ([float("nan"), 1.0], [2.0, 0.0], [2.0, 0.0]),
    "inf": ([float("inf"), 0.0], [2.0, 0.0], [2.0, 0.0]),
    "inf where protected is zero": ([0.0, float("inf")], [2.0, 0.0], [2.0, 0.0]),
    "barely opposite": ([-1e-15, 1e15], [2.0, 0.0], [2.0, 1e15]),
    "tiny and opposite": ([-1e-30, 1e-30], [2.0, 0.0], [2.0, 1e-30]),
    "huge and opposite": ([-1e30, 1e30], [2.0, 0.0], [0.0, 1e30]),
}


@pytest.mark.parametrize(("auxiliary", "discarded", "projected"), FAMILIES.values(), ids=FAMILIES)
def test_conflicts_and_updates_of_hand_placed_rows(auxiliary, discarded, projected):
    rows = torch.tensor([[2.0, 0.0], auxiliary])
    torch.testing.assert_close(ACLGrad()(rows), torch.tensor(discarded))
    # (1 + 5e29) * 2 - 1e30 is 2 in exact arithmetic; a float32 near 1e30 knows nothing below 1e23.
    atol = 1e24 if auxiliary[0] == -1e30 else 0.0
    torch.testing.assert_close(ProtectedPCGrad()(rows), torch.tensor(projected), rtol=1e-6, atol=atol)


@pytest.mark.parametrize("rule", COMPARING, ids=named)
@pytest.mark.parametrize("auxiliary", [[1.0, -2.0], [-1e15, 1e-15], [0.0, 0.0]])
def test_a_protected_gradient_of_zero_conflicts_with_nothing(rule, auxiliary):
    torch.testing.assert_close(rule(torch.tensor([[0.0, 0.0], auxiliary])), torch.tensor(auxiliary))


@pytest.mark.parametrize("rule", COMPARING, ids=named)
@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1e-20, 1e-15, 1e15, 1e20, 1e30])
def test_products_beyond_float32_are_taken_in_float64(rule, scale):
    """Squares of 1e-25 vanish in float32, and zero would read as agreement; those of 1e30 overflow."""
    same, against = scale * torch.tensor([[1.0, 0.0], [1.0, 0.0]]), scale * torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(rule(same), scale * torch.tensor([2.0, 0.0]), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(rule(against), scale * torch.tensor([1.0, 0.0]), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("rule", COMPARING, ids=named)
def test_a_protected_row_that_is_not_finite_yields_no_finite_update(rule):
    """The step then skips; a rule must not make it look well."""
    assert not rule(torch.tensor([[float("nan"), 1.0], [1.0, 1.0]])).isfinite().all()


@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 1e3]))
@settings(max_examples=50, deadline=None)
def test_protected_pcgrad_equals_pcgrad_where_the_two_coincide(seed, scale):
    """Of two gradients PCGrad projects each against the other, so it is the sum of both ways to protect one."""
    rows = matrix(seed, scales=[1.0, scale])
    both_ways = ProtectedPCGrad()(rows) + ProtectedPCGrad()(rows.flip(0)) - rows.sum(dim=0)
    torch.testing.assert_close(PCGrad()(rows), both_ways)
    if rows[0] @ rows[1] >= 0:
        torch.testing.assert_close(PCGrad()(rows), ProtectedPCGrad()(rows))


def test_projection_is_limited_to_shared_parameters():
    """A head that the protected term alone reaches keeps its gradient: nothing was to be made up for there."""
    rows = [[torch.tensor([1.0]), torch.tensor([7.0])], [torch.tensor([-2.0]), None]]
    weights_K = ProtectedPCGrad().weights(products_with_protected(rows))
    assert weights_K.tolist() == [3.0, 1.0]
    assert [combine(rows, weights_K, index).item() for index in (0, 1)] == [1.0, 7.0]


@pytest.mark.parametrize("rule", COMPARING, ids=named)
def test_terms_that_share_different_parameters_with_the_protected_one(rule):
    """Three terms over (a, b): the second reaches a alone, the third b alone. The promise holds over both."""
    a, b = torch.tensor([1.0]), torch.tensor([1.0])
    rows = [[a, b], [torch.tensor([-3.0]), None], [None, torch.tensor([2.0])]]
    weights_K = rule.weights(products_with_protected(rows))
    assert products_with_protected(rows).tolist() == [2.0, -3.0, 2.0]
    update = torch.cat([combine(rows, weights_K, index) for index in (0, 1)])
    assert update.sum() >= 2.0


def test_a_term_without_shared_parameters_needs_no_second_computation(monkeypatch):
    """Its product is zero because there is nothing to sum, not because float32 lost it (a learnt gate has one)."""
    rows = [[torch.tensor([1.0]), None], [torch.tensor([2.0]), None], [None, torch.tensor([3.0])]]
    taken = []
    original = products._products
    monkeypatch.setattr(products, "_products", lambda rows, dtype: (taken.append(dtype), original(rows, dtype))[1])
    assert products_with_protected(rows).tolist() == [1.0, 2.0, 0.0]
    assert taken == [torch.float32]
    assert products_with_protected([*rows[:2], [torch.tensor([1e-30]), None]])[2].item() == pytest.approx(1e-30)
    assert taken[1:] == [torch.float32, torch.float64]


def test_sum_needs_one_backward_pass_and_adds():
    rows = matrix(0, 3)
    torch.testing.assert_close(Sum()(rows), rows.sum(dim=0))
    assert not Sum.needs_separate_gradients
    assert ACLGrad.needs_separate_gradients
    assert ProtectedPCGrad.needs_separate_gradients


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_a_single_row_is_returned_unchanged(rule):
    torch.testing.assert_close(rule(matrix(1, 1)), matrix(1, 1)[0])


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_the_matrix_is_not_changed(rule):
    rows = matrix(1)
    rows[1] = -rows[0]
    before = rows.clone()
    rule(rows)
    assert torch.equal(rows, before)


@pytest.mark.parametrize("rule", RULES, ids=named)
@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 3, 1)])
def test_the_shape_is_checked(rule, shape):
    with pytest.raises(ValueError, match=r"shape \[K, N\] with K >= 1; found"):
        rule(torch.zeros(shape))
