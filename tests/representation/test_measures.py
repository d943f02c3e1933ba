"""Every measure against its definition, known configurations, invariances, and inputs on which it is not defined."""

from __future__ import annotations

import math

import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acl_lightning.representation import (
    MEASURES,
    alignment,
    anisotropy,
    class_separation,
    effective_rank,
    label_distance,
    label_margin,
    measure_exits,
    uniformity,
    unit_vectors,
)

NAN = pytest.approx(math.nan, nan_ok=True)


def sample(seed: int, n: int = 14, width: int = 6, classes: int = 3):
    """Embeddings around class means, their labels (every class occurs), label embeddings."""
    generator = torch.Generator().manual_seed(seed)
    labels_n = torch.arange(n) % classes
    means_CD = torch.randn(classes, width, generator=generator, dtype=torch.float64)
    embeddings_nD = 0.7 * torch.randn(n, width, generator=generator, dtype=torch.float64) + means_CD[labels_n]
    return embeddings_nD, labels_n, torch.randn(classes, width, generator=generator, dtype=torch.float64) + means_CD


def every(embeddings_nD, labels_n, label_embeddings_CD):
    (found,) = measure_exits(embeddings_nD[None], labels_n, label_embeddings_CD[None])
    return found


@pytest.mark.parametrize("seed", range(5))
def test_each_measure_is_its_definition(seed):
    embeddings_nD, labels_n, label_embeddings_CD = sample(seed)
    vectors, labels, stars = embeddings_nD.tolist(), labels_n.tolist(), label_embeddings_CD.tolist()
    distance, margin = oracles.label_alignment_oracle(vectors, labels, stars)
    expected = {
        "alignment": oracles.alignment_oracle(vectors, labels),
        "uniformity": oracles.uniformity_oracle(vectors, 2.0),
        "anisotropy": oracles.anisotropy_oracle(vectors),
        "effective_rank": oracles.effective_rank_oracle(vectors),
        "class_separation": oracles.class_separation_oracle(vectors, labels),
        "label_distance": distance,
        "label_margin": margin,
    }
    assert every(embeddings_nD, labels_n, label_embeddings_CD) == pytest.approx(expected, rel=1e-9)


def test_the_measures_have_one_order():
    assert tuple(every(*sample(0))) == MEASURES


def test_chunks_do_not_change_the_uniformity():
    embeddings_nD, _, _ = sample(0, n=23)
    whole = uniformity(embeddings_nD)
    assert [uniformity(embeddings_nD, chunk=rows) for rows in (1, 5, 23)] == pytest.approx([whole] * 3, rel=1e-12)


# -- known configurations ---------------------------------------------------------------------------------------------


def simplex(vertices: int) -> torch.Tensor:
    """Unit vectors with equal angles, centred: what CE and SCL drive class means to."""
    return torch.eye(vertices, dtype=torch.float64) - 1 / vertices


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_collapsed_classes_on_a_simplex(classes):
    labels_n = torch.arange(4 * classes) % classes
    found = every(simplex(classes)[labels_n], labels_n, 3 * simplex(classes))
    cosine, n = -1 / (classes - 1), len(labels_n)
    same = 3 / (n - 1)  # of the other samples of a class with 4
    squared = 2 - 2 * cosine
    expected = {
        "alignment": 0.0,
        "uniformity": math.log(same + (1 - same) * math.exp(-2 * squared)),
        "anisotropy": same + (1 - same) * cosine,
        "effective_rank": classes - 1,
        "class_separation": 1.0,
        "label_distance": 0.0,
        "label_margin": 1 - cosine,
    }
    assert found == pytest.approx(expected, abs=1e-12)


def test_all_embeddings_equal():
    embeddings_nD, labels_n, label_embeddings_CD = sample(0)
    equal = embeddings_nD[:1].expand_as(embeddings_nD)
    found = every(equal, labels_n, label_embeddings_CD)
    assert {name: found[name] for name in ("alignment", "uniformity", "anisotropy", "effective_rank")} == pytest.approx(
        {"alignment": 0.0, "uniformity": 0.0, "anisotropy": 1.0, "effective_rank": 0.0}, abs=1e-12
    )
    assert found["class_separation"] == NAN
    assert found["label_margin"] == pytest.approx(0.0, abs=1e-12)


def test_orthonormal_samples():
    n = 6
    embeddings_nD = torch.eye(n)
    assert anisotropy(embeddings_nD) == pytest.approx(0.0, abs=1e-12)
    assert uniformity(embeddings_nD) == pytest.approx(-4.0)
    assert effective_rank(embeddings_nD) == pytest.approx(n - 1)
    assert alignment(embeddings_nD, torch.tensor([0, 0, 0, 1, 1, 1])) == pytest.approx(2.0)


def test_an_isotropic_gaussian_has_almost_full_rank_and_no_direction():
    generator = torch.Generator().manual_seed(0)
    embeddings_nD = torch.randn(20_000, 8, generator=generator)
    assert effective_rank(embeddings_nD) == pytest.approx(8, rel=1e-3)
    assert anisotropy(embeddings_nD) == pytest.approx(0, abs=1e-3)
    labels_n = torch.arange(20_000) % 4
    assert alignment(embeddings_nD, labels_n) == pytest.approx(2, abs=1e-3)
    assert class_separation(embeddings_nD, labels_n) == pytest.approx(0, abs=2e-3)


def test_a_line_has_rank_one_at_any_position():
    line = torch.arange(9.0)[:, None] * torch.tensor([1.0, 2.0, -1.0]) + torch.tensor([5.0, 0.0, 100.0])
    assert effective_rank(line) == pytest.approx(1, abs=1e-6)


def test_label_embeddings_of_the_wrong_class_have_a_negative_margin():
    embeddings_nD, labels_n, _ = sample(0, classes=2)
    means_CD = torch.stack([unit_vectors(embeddings_nD)[labels_n == c].mean(dim=0) for c in (0, 1)])
    assert label_distance(embeddings_nD, labels_n, means_CD) == pytest.approx(0, abs=1e-12)
    right = label_margin(embeddings_nD, labels_n, means_CD)
    assert label_margin(embeddings_nD, labels_n, means_CD.flip(0)) == pytest.approx(-right)
    assert label_distance(embeddings_nD, labels_n, -means_CD) == pytest.approx(2)


# -- invariances ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-6, 6))
def test_rotation_scale_and_order_do_not_matter(seed, exponent):
    embeddings_nD, labels_n, label_embeddings_CD = sample(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    rotation_DD = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    order = torch.randperm(len(labels_n), generator=generator)
    before = every(embeddings_nD, labels_n, label_embeddings_CD)
    turned = 10.0**exponent * embeddings_nD @ rotation_DD
    after = every(turned[order], labels_n[order], label_embeddings_CD @ rotation_DD)
    assert after == pytest.approx(before, rel=1e-8, abs=1e-10)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 12), width=st.integers(1, 8))
def test_values_stay_in_their_ranges(seed, n, width):
    embeddings_nD, labels_n, label_embeddings_CD = sample(seed, n, width, classes=2)
    found = every(embeddings_nD, labels_n, label_embeddings_CD)
    assert -8 <= found["uniformity"] <= 1e-12
    assert -1 / (n - 1) - 1e-9 <= found["anisotropy"] <= 1 + 1e-12
    assert 1 - 1e-9 <= found["effective_rank"] <= min(n - 1, width) + 1e-9
    assert 0 <= found["label_distance"] <= 2 + 1e-12
    assert -2 - 1e-12 <= found["label_margin"] <= 2 + 1e-12
    if n > 2:  # else no pair of one class
        assert 0 <= found["alignment"] <= 4 + 1e-12
        assert math.isnan(found["class_separation"]) or 0 <= found["class_separation"] <= 1 + 1e-12


def test_single_precision_is_measured_in_double():
    embeddings_nD, labels_n, label_embeddings_CD = sample(3)
    rounded = embeddings_nD.float()
    assert every(rounded, labels_n, label_embeddings_CD) == every(rounded.double(), labels_n, label_embeddings_CD)


def test_each_exit_is_measured_independently():
    first, second = sample(0), sample(1)
    together = measure_exits(torch.stack([first[0], second[0]]), first[1], torch.stack([first[2], second[2]]))
    assert together == [every(*first), every(second[0], first[1], second[2])]


# -- where a measure is not defined -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1])
def test_without_a_pair_there_is_no_measure_of_pairs(n):
    embeddings_nD, labels_n, label_embeddings_CD = sample(0)
    found = every(embeddings_nD[:n], labels_n[:n], label_embeddings_CD)
    undefined = {"alignment", "uniformity", "anisotropy", "class_separation", "label_margin"}
    undefined |= {"effective_rank", "label_distance"} if n == 0 else set()
    assert {name for name, value in found.items() if math.isnan(value)} == undefined
    if n == 1:
        assert found["effective_rank"] == 0


def test_one_class_has_no_margin_and_no_separation():
    embeddings_nD, _, label_embeddings_CD = sample(0)
    found = every(embeddings_nD, torch.full((14,), 2), label_embeddings_CD)
    assert found["label_margin"] == NAN
    assert found["class_separation"] == 0
    assert found["label_distance"] > 0


def test_classes_of_one_sample_each_have_no_alignment():
    embeddings_nD, _, _ = sample(0, n=3)
    assert alignment(embeddings_nD, torch.arange(3)) == NAN
    assert class_separation(embeddings_nD, torch.arange(3)) == pytest.approx(1)


def test_absent_classes_are_left_out():
    embeddings_nD, labels_n, label_embeddings_CD = sample(0, classes=2)
    more_CD = torch.cat([label_embeddings_CD, torch.ones(2, 6)])
    assert every(embeddings_nD, labels_n, more_CD) == every(embeddings_nD, labels_n, label_embeddings_CD)


def test_zero_vectors_have_no_direction():
    labels_n = torch.tensor([0, 1, 0, 1])
    found = every(torch.zeros(4, 3), labels_n, torch.zeros(2, 3))
    assert (found["alignment"], found["uniformity"], found["anisotropy"], found["effective_rank"]) == (0, 0, 0, 0)
    assert (found["label_distance"], found["label_margin"]) == (1, 0)
    one = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert anisotropy(one) == 0
    assert alignment(one, torch.zeros(2)) == pytest.approx(1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_only_an_exit_that_is_not_finite_is_undefined(bad):
    embeddings_nD, labels_n, label_embeddings_CD = sample(0)
    broken = embeddings_nD.clone()
    broken[3, 2] = bad
    first, second = measure_exits(
        torch.stack([broken, embeddings_nD]), labels_n, torch.stack([label_embeddings_CD] * 2)
    )
    assert all(math.isnan(value) for value in first.values())
    assert second == every(embeddings_nD, labels_n, label_embeddings_CD)


def test_a_regression_has_no_measures_of_classes():
    embeddings_nD, labels_n, label_embeddings_CD = sample(0)
    with_classes = every(embeddings_nD, labels_n, label_embeddings_CD)
    without = every(embeddings_nD, None, label_embeddings_CD)
    for name in ("uniformity", "anisotropy", "effective_rank"):
        assert without[name] == with_classes[name]
    for name in ("alignment", "class_separation", "label_distance", "label_margin"):
        assert without[name] == NAN
