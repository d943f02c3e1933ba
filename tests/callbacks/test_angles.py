"""Cosines from inner products: bounds, scale, zero vectors, and what is not finite."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from acl_lightning.callbacks.angles import cosines, degrees

vectors = arrays.arrays("float64", 3, elements=st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-3))


def cosine(a, b):
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    return cosines(a @ b, a @ a, b @ b).item()


@given(vectors, vectors, st.floats(1e-60, 1e60))
def test_bounded_symmetric_and_free_of_scale(a, b, factor):
    value = cosine(a, b)
    assert -1 <= value <= 1
    assert math.isclose(value, cosine(b, a), abs_tol=1e-12)
    assert math.isclose(value, cosine(a * factor, b), abs_tol=1e-9)
    assert math.isclose(value, -cosine(-a, b), abs_tol=1e-12)


@given(vectors.filter(lambda a: abs(a).max() > 0))
def test_parallel_and_opposite(a):
    assert math.isclose(cosine(a, 2 * a), 1, abs_tol=1e-12)
    assert math.isclose(cosine(a, -a), -1, abs_tol=1e-12)


def test_a_zero_vector_is_at_a_right_angle():
    assert cosine([0, 0], [1, 2]) == cosine([0, 0], [0, 0]) == 0
    assert degrees(torch.tensor(0.0)).item() == 90


def test_what_is_not_finite_has_no_cosine():
    assert math.isnan(cosine([math.nan, 0], [1, 1]))
    assert math.isnan(cosine([math.inf, 0], [1, 1]))


def test_degrees():
    assert torch.allclose(degrees(torch.tensor([1.0, 0.5, 0.0, -1.0])), torch.tensor([0.0, 60.0, 90.0, 180.0]))
