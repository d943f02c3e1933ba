"""Paired differences: error rates on generated data, an oracle of loops, and edge cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from acl_lightning.studies.comparison import holm, paired_difference

STUDIES, RESAMPLES, SAMPLES = 400, 200, 150


def studies(seeds, over_seeds, over_samples, both, effect=0.0):
    """Differences and their resamples of studies whose components of variance are known."""
    rng = np.random.default_rng(7)
    draws_RB = rng.multinomial(SAMPLES, np.full(SAMPLES, 1 / SAMPLES), RESAMPLES) / SAMPLES
    for _ in range(STUDIES):
        differences_SB = (
            effect
            + rng.normal(0, over_seeds, seeds)[:, None]
            + rng.normal(0, over_samples, SAMPLES)
            + rng.normal(0, both, (seeds, SAMPLES))
        )
        yield differences_SB.mean(axis=1), draws_RB @ differences_SB.T


@pytest.mark.parametrize(
    ("seeds", "over_seeds", "over_samples", "both"),
    [(5, 0.05, 0.5, 0.5), (5, 0.2, 0.3, 0.3), (3, 0.02, 0.7, 0.5)],
    ids=["balanced", "mostly-seeds", "mostly-samples"],
)
def test_intervals_cover_and_false_positives_are_rare(seeds, over_seeds, over_samples, both):
    results = [paired_difference(*study) for study in studies(seeds, over_seeds, over_samples, both)]
    covered = np.mean([low <= 0 <= high for low, high in (result.interval() for result in results)])
    rejected = np.mean([result.p < 0.05 for result in results])
    assert covered == pytest.approx(1 - rejected)
    assert 0.92 <= covered <= 0.98  # standard error of the estimate: 0.011
    true = over_seeds**2 / seeds + over_samples**2 / SAMPLES + both**2 / (seeds * SAMPLES)
    assert np.mean([result.standard_error**2 for result in results]) == pytest.approx(true, rel=0.12)


def test_percentiles_of_resampled_seeds_would_be_too_narrow():
    """The reason why seeds are not resampled."""
    rng = np.random.default_rng(0)
    covered = []
    for _, resampled_RS in studies(5, 0.2, 0.3, 0.3):
        drawn_RS = np.take_along_axis(resampled_RS, rng.integers(5, size=resampled_RS.shape), axis=1)
        low, high = np.quantile(drawn_RS.mean(axis=1), [0.025, 0.975])
        covered.append(low <= 0 <= high)
    assert np.mean(covered) < 0.9


def test_a_detectable_difference_is_detected_with_the_stated_power():
    components = (5, 0.05, 0.5, 0.5)
    effect = np.mean([paired_difference(*study).detectable() for study in studies(*components)])
    power = np.mean([paired_difference(*study).p < 0.05 for study in studies(*components, effect)])
    assert 0.72 <= power <= 0.9


def slow_standard_error(differences_S, resampled_RS):
    """The formula of the documentation, in loops."""
    seeds, resamples = len(differences_S), len(resampled_RS)
    mean = sum(differences_S) / seeds
    over_seeds = sum((value - mean) ** 2 for value in differences_S) / (seeds - 1) / seeds

    def covariance(first, second):
        means = sum(first) / resamples, sum(second) / resamples
        return sum((a - means[0]) * (b - means[1]) for a, b in zip(first, second, strict=True)) / (resamples - 1)

    columns = [[float(row[seed]) for row in resampled_RS] for seed in range(seeds)]
    shared = [covariance(columns[i], columns[j]) for i in range(seeds) for j in range(seeds) if i != j]
    means = [sum(row) / seeds for row in resampled_RS]
    variance = max(over_seeds + max(sum(shared) / len(shared), 0), covariance(means, means))
    return math.sqrt(variance), variance**2 / (over_seeds**2 / (seeds - 1))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.floats(0, 2), st.integers(0, 2**31))
def test_the_standard_error_is_that_of_the_formula(seeds, common, seed):
    rng = np.random.default_rng(seed)
    differences_S = rng.normal(size=seeds)
    resampled_RS = rng.normal(size=(9, seeds)) + common * rng.normal(size=(9, 1))
    result = paired_difference(differences_S, resampled_RS)
    error, degrees = slow_standard_error(differences_S, resampled_RS)
    assert result.standard_error == pytest.approx(error, rel=1e-9)
    assert result.degrees == pytest.approx(degrees, rel=1e-9)
    assert result.p == pytest.approx(2 * stats.t.sf(abs(differences_S.mean()) / error, degrees), rel=1e-6)
    assert (result.p < 0.05) == (result.interval()[0] > 0 or result.interval()[1] < 0)


def test_without_resamples_it_is_the_paired_t_test():
    first, second = np.array([3.0, 4.0, 7.0]), np.array([2.0, 4.5, 5.0])
    result = paired_difference(first - second)
    expected = stats.ttest_rel(first, second)
    assert result.p == pytest.approx(expected.pvalue)
    assert result.interval() == pytest.approx(tuple(expected.confidence_interval()))


def test_one_seed_has_an_interval_over_samples_only():
    resampled_RS = np.linspace(0, 1, 101)[:, None]
    result = paired_difference(np.array([0.5]), resampled_RS)
    assert (result.seeds, result.degrees) == (1, math.inf)
    assert result.standard_error == pytest.approx(resampled_RS.std(ddof=1))
    assert paired_difference(np.array([0.5])).interval() is None
    assert paired_difference(np.array([0.5])).detectable() is None


def test_methods_that_agree_everywhere_do_not_differ():
    result = paired_difference(np.zeros(3), np.zeros((20, 3)))
    assert (result.p, result.interval()) == (1.0, (0.0, 0.0))
    assert result.detectable() is None


def test_equal_differences_of_few_seeds_are_not_certain():
    """Two seeds agree by chance, and their sampling errors cancel: the error over samples remains."""
    noise = np.random.default_rng(0).normal(0, 0.1, 200)
    result = paired_difference(np.array([0.1, 0.1]), 0.1 + np.stack([noise, -0.8 * noise], axis=1))
    assert result.standard_error == pytest.approx(0.1 * noise.std(ddof=1))
    assert paired_difference(np.array([2.0, 2.0])).p is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    numbers = range(len(p_values))
    subsets = [subset for size in numbers for subset in itertools.combinations(numbers, size + 1)]
    expected = [
        max(min(1.0, len(subset) * min(p_values[i] for i in subset)) for subset in subsets if number in subset)
        for number in numbers
    ]
    assert holm(p_values) == pytest.approx(expected)


def test_holm_of_nothing():
    assert holm([]) == []
