"""Rules on matrices: contract, hostile families, first-order promise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acl_lightning.gradients import Discard, Sum

RULES = [Discard(), Sum()]


def matrix(seed, K=2, N=6, scales=None):
    rows = torch.randn(K, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows if scales is None else rows * torch.tensor(scales, dtype=torch.float64).unsqueeze(1)


@given(
    seed=st.integers(0, 10_000), K=st.integers(1, 4), exponents=st.lists(st.integers(-15, 15), min_size=4, max_size=4)
)
@settings(max_examples=100, deadline=None)
def test_discard_keeps_exactly_the_rows_that_agree(seed, K, exponents):
    rows = matrix(seed, K, scales=[10.0**x for x in exponents[:K]])
    expected = rows[0].clone()
    for row in rows[1:]:
        if row @ rows[0] >= 0:
            expected += row
    torch.testing.assert_close(Discard()(rows), expected)


@given(
    seed=st.integers(0, 10_000), exponent=st.integers(-15, 15), dtype=st.sampled_from([torch.float32, torch.float64])
)
@settings(max_examples=100, deadline=None)
def test_a_step_along_discard_never_raises_the_protected_term(seed, exponent, dtype):
    rows = matrix(seed, 3, scales=[1.0, 10.0**exponent, 10.0**-exponent]).to(dtype)
    update, protected = Discard()(rows).double(), rows[0].double()
    assert update @ protected >= (protected @ protected) * (1 - 1e-5)


@pytest.mark.parametrize(
    ("auxiliary", "kept"),
    [
        ([1.0, 0.0], True),
        ([-1.0, 0.0], False),
        ([0.0, 5.0], True),
        ([0.0, 0.0], True),
        ([float("nan"), 1.0], False),
        ([float("inf"), 0.0], False),
        ([0.0, float("inf")], False),
        ([-1e-15, 1e15], False),
    ],
    ids=["parallel", "opposite", "orthogonal", "zero", "nan", "inf", "inf where protected is zero", "barely opposite"],
)
def test_what_counts_as_conflict(auxiliary, kept):
    protected = torch.tensor([2.0, 0.0])
    auxiliary = torch.tensor(auxiliary)
    update = Discard()(torch.stack([protected, auxiliary]))
    torch.testing.assert_close(update, protected + auxiliary if kept else protected)


def test_products_beyond_float32_are_taken_in_float64():
    rows = torch.tensor([[1e30, 0.0], [1e30, 0.0]])
    torch.testing.assert_close(Discard()(rows), torch.tensor([2e30, 0.0]))
    torch.testing.assert_close(Discard()(torch.tensor([[1e30, 0.0], [-1e30, 0.0]])), torch.tensor([1e30, 0.0]))


def test_sum_needs_one_backward_pass_and_adds():
    rows = matrix(0, 3)
    torch.testing.assert_close(Sum()(rows), rows.sum(dim=0))
    assert not Sum.needs_separate_gradients
    assert Discard.needs_separate_gradients


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_one_row_is_returned_as_it_is(rule):
    torch.testing.assert_close(rule(matrix(1, 1)), matrix(1, 1)[0])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 3, 1)])
def test_the_shape_is_checked(rule, shape):
    with pytest.raises(ValueError, match=r"shape \[K, N\] with K >= 1; found"):
        rule(torch.zeros(shape))
