"""The constant answer that exits are compared with, against what is known by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from acl_lightning.exits import Baseline, constant_baseline, lead_intervals
from acl_lightning.metrics import quality


def measure(name):
    return partial(quality, name)


def test_by_accuracy_it_is_the_majority_class():
    labels_B = torch.tensor([2, 1, 1, 0, 1, 2])
    assert constant_baseline(labels_B, 3, measure("accuracy")) == Baseline(1, True, 0.5)


def test_by_f1_it_may_be_a_rarer_class():
    """One in four is of class 1: always answering 1 has F1 = 2 * 1 / (2 * 1 + 3) = 0.4, always answering 0 has 0."""
    labels_B = torch.tensor([0, 0, 0, 1])
    assert constant_baseline(labels_B, 2, measure("f1")) == Baseline(1, False, pytest.approx(0.4))


def test_of_equal_classes_it_is_the_first():
    assert constant_baseline(torch.tensor([1, 0]), 2, measure("accuracy")) == Baseline(0, True, 0.5)


def test_of_a_regression_it_is_a_constant_with_no_correlation():
    labels_B = torch.tensor([0.5, 3.0, 4.5])
    assert constant_baseline(labels_B, 1, measure("pearson")) == Baseline(None, False, 0.0)


@pytest.mark.parametrize(("hits", "better"), [(151, False), (200, True), (100, False)])
def test_a_lead_is_paired_and_its_interval_covers_chance(hits, better):
    """277 rows as in RTE, 146 of the majority class: 151 hits (54.5 %) are not better beyond chance, 200 are."""
    labels_B = (torch.arange(277) >= 146).long()
    generator = torch.Generator().manual_seed(0)
    right_B = torch.zeros(277, dtype=torch.bool)
    right_B[torch.randperm(277, generator=generator)[:hits]] = True
    answers_1B = labels_B.where(right_B, 1 - labels_B)[None]
    baseline = constant_baseline(labels_B, 2, measure("accuracy"))
    assert (baseline.label, baseline.quality) == (0, pytest.approx(146 / 277, abs=1e-6))
    (lead,) = lead_intervals(answers_1B, labels_B, baseline, metric="accuracy")
    assert lead.low < 100 * (hits - 146) / 277 < lead.high
    assert (lead.low > 0) == better


def test_the_constant_answer_itself_leads_by_nothing():
    labels_B = torch.tensor([0, 1, 1, 1])
    baseline = constant_baseline(labels_B, 2, measure("accuracy"))
    (lead,) = lead_intervals(torch.ones(1, 4, dtype=torch.long), labels_B, baseline, metric="accuracy", resamples=50)
    assert (lead.low, lead.high) == (0.0, 0.0)
