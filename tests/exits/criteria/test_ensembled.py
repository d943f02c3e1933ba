"""Ensembles of exits: the geometric mean, causality, and what it composes with."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import geometric_mean_oracle

from acl_lightning.errors import UserError
from acl_lightning.exits import Calibrated, Confidence, Ensembled, Entropy, LearntGate, Static, temperatures_of
from acl_lightning.exits.criteria import ensembled


def weights_of(exits, generator):
    rows = [torch.rand(number, generator=generator) for number in range(1, exits + 1)]
    return [(row / row.sum()).double().tolist() for row in rows]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 4), st.integers(2, 4), st.integers(0, 2**16))
def test_answers_are_the_geometric_mean_of_the_exits_so_far(exits, batch, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits_EBC = 3 * torch.randn(exits, batch, classes, generator=generator)
    weights_EE = weights_of(exits, generator)
    criterion = Ensembled(Confidence(), weights_EE)
    answers_EBC = criterion.answers(logits_EBC)
    probabilities_EBC = answers_EBC.softmax(dim=-1)
    for m in range(exits):
        for b in range(batch):
            expected = geometric_mean_oracle(logits_EBC[: m + 1, b].tolist(), weights_EE[m])
            assert probabilities_EBC[m, b].tolist() == pytest.approx(expected, abs=1e-5)
        assert torch.equal(criterion.answers(logits_EBC[: m + 1]), answers_EBC[: m + 1])  # causal, bit for bit
    certainty_EB = criterion.certainty(criterion.inputs(logits_EBC, None))
    assert torch.equal(certainty_EB, Confidence().certainty(answers_EBC))


def test_the_exit_alone_is_the_identity():
    logits_EBC = torch.randn(3, 5, 4)
    assert torch.equal(Ensembled(Entropy(), [[1], [0, 1], [0, 0, 1]]).answers(logits_EBC), logits_EBC)
    assert Entropy().answers(logits_EBC) is logits_EBC


def test_an_answer_has_the_same_bits_in_every_batch_and_chunk(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    logits_EBC, weights_EE = torch.randn(4, 33, 3, generator=generator), weights_of(4, generator)
    together_EBC = Ensembled(Entropy(), weights_EE).answers(logits_EBC)
    monkeypatch.setattr(ensembled, "CHUNK", 7)
    assert torch.equal(Ensembled(Entropy(), weights_EE).answers(logits_EBC), together_EBC)
    alone = [Ensembled(Entropy(), weights_EE).answers(logits_EBC[:, [number]]) for number in range(33)]
    assert torch.equal(torch.cat(alone, dim=1), together_EBC)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_exit_that_is_not_finite_spoils_only_the_means_that_it_is_part_of(value):
    logits_EBC = torch.zeros(4, 2, 2)
    logits_EBC[1, 0, 0] = value
    answers_EBC = Ensembled(Entropy(), [[1], [0.5, 0.5], [0.5, 0, 0.5], [0.1, 0.1, 0.1, 0.7]]).answers(logits_EBC)
    assert answers_EBC.isfinite().all(dim=-1).tolist() == [[True, True], [False, True], [True, True], [False, True]]


def test_temperatures_are_those_of_the_mean():
    weights_EE = [[1], [0.5, 0.5]]
    logits_EBC = torch.randn(2, 6, 3)
    both = Ensembled(Calibrated(Entropy(), [2.0, 3.0]), weights_EE)
    mean_EBC = both.answers(logits_EBC)
    expected_EB = Entropy().certainty(mean_EBC / torch.tensor([2.0, 3.0])[:, None, None])
    torch.testing.assert_close(both.certainty(both.inputs(logits_EBC, None)), expected_EB)
    assert both.name == "ensemble_calibrated_entropy"
    assert temperatures_of(both, (9.0, 9.0)) == (2.0, 3.0)
    assert temperatures_of(Ensembled(Entropy(), weights_EE), (9.0, 9.0)) is None  # those of the run are of single exits
    with pytest.raises(UserError, match=r"a criterion to calibrate; found an ensemble\. Use Ensembled\(Calibrated"):
        Calibrated(Ensembled(Entropy(), weights_EE), [1.0, 1.0])


def test_the_mean_needs_all_exits_before():
    weights_EE = [[1], [0.5, 0.5], [0.2, 0.3, 0.5]]
    assert Static().exits_read(2, 3) == range(1, 2)
    assert Ensembled(Static(), weights_EE).exits_read(2, 3) == range(2)
    assert Ensembled(LearntGate(), weights_EE).exits_read(0.5, 3) == range(3)


@pytest.mark.parametrize("weights_EE", [[], [[0.5]], [[1], [1]], [[1], [1.5, -0.5]], [[1], [math.nan, 1]]])
def test_weights_that_do_not_sum_to_one_are_refused(weights_EE):
    with pytest.raises(UserError, match=r"ensemble weights of .*Validate the run again with --exit_sweep.ensemble="):
        Ensembled(Entropy(), weights_EE)


def test_other_models_are_refused():
    criterion = Ensembled(Entropy(), [[1], [0.5, 0.5]])
    with pytest.raises(UserError, match="ensemble weights of 3 exits; found 2"):
        criterion.answers(torch.zeros(3, 1, 2))
    with pytest.raises(UserError, match="classes for an ensemble of exits; found a regression"):
        criterion.answers(torch.zeros(2, 1, 1))
    assert not criterion.supports_regression
