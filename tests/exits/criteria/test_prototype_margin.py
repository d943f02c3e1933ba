"""The margin of the cosines with the label embeddings: values, limits, and records without cosines."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import prototype_margin_oracle

from acl_lightning.errors import UserError
from acl_lightning.exits import Calibrated, Entropy, PrototypeMargin
from acl_lightning.exits.criteria.prototype_margin import WEIGHTS
from acl_lightning.outputs import label_cosines


def certainty(criterion, logits_EBC, cosines_EBC):
    return criterion.certainty(criterion.inputs(logits_EBC, None, cosines_EBC))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(2, 6), st.sampled_from(WEIGHTS), st.integers(0, 2**16))
def test_the_certainty_is_that_of_the_formula(exits, batch, classes, weight, seed):
    generator = torch.Generator().manual_seed(seed)
    logits_EBC = 3 * torch.randn(exits, batch, classes, generator=generator, dtype=torch.float64)
    embeddings_EBD, labels_ECD = (
        torch.randn(exits, size, 5, generator=generator, dtype=torch.float64) for size in (batch, classes)
    )
    cosines_EBC = torch.stack([label_cosines(*pair) for pair in zip(embeddings_EBD, labels_ECD, strict=True)])
    expected = [
        [
            prototype_margin_oracle(logits_C.tolist(), embedding_D.tolist(), labels_CD.tolist(), weight)
            for logits_C, embedding_D in zip(logits_BC, embeddings_BD, strict=True)
        ]
        for logits_BC, embeddings_BD, labels_CD in zip(logits_EBC, embeddings_EBD, labels_ECD, strict=True)
    ]
    values_EB = certainty(PrototypeMargin(weight), logits_EBC, cosines_EBC)
    torch.testing.assert_close(values_EB, torch.tensor(expected), atol=1e-5, rtol=0)
    for upto in range(1, exits + 1):  # causal, bit for bit
        assert torch.equal(certainty(PrototypeMargin(weight), logits_EBC[:upto], cosines_EBC[:upto]), values_EB[:upto])


def test_the_extremes_are_the_ends_of_the_range():
    logits_EBC = torch.tensor([[[50.0, 0.0], [50.0, 0.0], [0.0, 0.0]]])
    cosines_EBC = torch.tensor([[[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]]])
    values_EB = certainty(PrototypeMargin(0.5), logits_EBC, cosines_EBC)
    torch.testing.assert_close(values_EB, torch.tensor([[1.0, 0.5, 0.25]]))
    assert (values_EB < 1).all()  # the threshold 1 never lets a sample leave
    assert certainty(PrototypeMargin(1.0), logits_EBC, cosines_EBC)[0, 1] == 0


@pytest.mark.parametrize("spoilt", ["logits", "cosines"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_no_reason_to_leave(spoilt, value):
    parts = {"logits": torch.zeros(2, 2, 3), "cosines": torch.zeros(2, 2, 3)}
    parts[spoilt][0, 1, 2] = value
    values_EB = certainty(PrototypeMargin(), parts["logits"], parts["cosines"])
    assert values_EB[0, 1] == -math.inf
    assert values_EB.isfinite().sum() == 3


def test_a_zero_vector_has_the_cosine_zero():
    cosines_BC = label_cosines(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert cosines_BC.tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_cosines_do_not_depend_on_the_batch():
    generator = torch.Generator().manual_seed(0)
    embeddings_BD, labels_CD = torch.randn(33, 48, generator=generator), torch.randn(7, 48, generator=generator)
    together_BC = label_cosines(embeddings_BD, labels_CD)
    alone_BC = torch.cat([label_cosines(row_D[None], labels_CD) for row_D in embeddings_BD])
    assert torch.equal(together_BC, alone_BC)


def test_a_temperature_changes_the_entropy_and_not_the_cosines():
    logits_EBC, cosines_EBC = torch.randn(3, 4, 3), 2 * torch.rand(3, 4, 3) - 1
    calibrated = Calibrated(PrototypeMargin(0.5), [2.0] * 3)
    expected_EB = certainty(PrototypeMargin(0.5), logits_EBC / 2, cosines_EBC)
    assert torch.equal(certainty(calibrated, logits_EBC, cosines_EBC), expected_EB)
    assert calibrated.reads_cosines
    assert not Calibrated(Entropy(), [1.0]).reads_cosines


def test_an_open_weight_stands_for_several():
    assert [variant.settings for variant in PrototypeMargin().variants(2)] == [{"weight": weight} for weight in WEIGHTS]
    assert list(PrototypeMargin(0.3).variants(2)) == [PrototypeMargin(0.3)]
    grid = PrototypeMargin().thresholds(6)
    assert grid == sorted(set(grid))
    assert (grid[0], grid[-1], len(grid)) == (0.0, 1.0, 142)


def test_what_it_cannot_read_is_refused_in_one_line():
    with pytest.raises(
        UserError, match=r"cosines with the label embeddings .*; found none\. Validate the run again with "
    ):
        PrototypeMargin().inputs(torch.zeros(2, 1, 3), None)
    with pytest.raises(UserError, match=r"at least 2 classes for the criterion 'prototype_margin'"):
        PrototypeMargin().inputs(torch.zeros(2, 1, 1), None, torch.zeros(2, 1, 1))
    for weight in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(UserError, match=rf"a weight of prototype_margin in \(0, 1\]; found {weight}"):
            PrototypeMargin(weight)
