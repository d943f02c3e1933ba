"""Mean and sample standard deviation, also where there is none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acl_lightning.studies.statistics import Spread, spread


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_equals_numpy(values):
    found = spread(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert found.std == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert found.n == len(values)


def test_by_hand():
    assert spread([0.8, 0.9]) == Spread(pytest.approx(0.85), pytest.approx(0.1 / math.sqrt(2)), 2)


def test_one_value_has_no_spread():
    assert spread([0.8]) == Spread(0.8, None, 1)


@pytest.mark.parametrize("undefined", [None, math.nan])
def test_an_undefined_value_is_not_averaged_away(undefined):
    assert spread([0.8, undefined]) == Spread(None, None, 2)
