"""ACF and its regulariser: oracle, range, invariances, constant features, bad input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import acf_oracle, correlation_penalty_oracle
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import ACF, ACLEmbed, SupervisedContrastive, WeightedObjective, correlation_penalty


def noise(E=2, B=8, D=5, seed=0, dtype=torch.float64):
    return torch.randn(E, B, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 9), classes=st.integers(2, 4), tau=st.floats(0.01, 10))
@settings(max_examples=30, deadline=None)
def test_acf_equals_its_slow_oracle(seed, batch, classes, tau):
    out, labels = outputs(seed, B=batch, C=classes)
    found = ACF(tau, correlation_weight=0.7).per_exit(out, labels)
    for e in range(3):
        h, w = out.embeddings_EBD[e].tolist(), out.label_embeddings_ECD[e].tolist()
        assert found[e].item() == pytest.approx(acf_oracle(h, labels.tolist(), w, tau, 0.7), rel=1e-8)


@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 12),
    width=st.integers(1, 12),
    scale=st.sampled_from([1e-4, 1, 1e4]),
)
@settings(max_examples=60, deadline=None)
def test_the_smaller_gram_matrix_gives_the_literal_correlations(seed, batch, width, scale):
    """Wide and tall batches, with and without constant features."""
    embeddings = scale * noise(2, batch, width, seed)
    embeddings[1, :, ::3] = 0.1
    found = correlation_penalty(embeddings)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    for e in range(2):
        assert found[e].item() == pytest.approx(correlation_penalty_oracle(embeddings[e].tolist()), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("shape", [(2, 20, 6), (2, 6, 20)], ids=["tall", "wide"])
def test_the_penalty_is_that_of_torch_corrcoef(shape):
    embeddings = noise(*shape)
    for e in range(2):
        correlation = torch.corrcoef(embeddings[e].T)
        squares = correlation[~torch.eye(shape[2], dtype=torch.bool)].square()
        torch.testing.assert_close(correlation_penalty(embeddings)[e], squares.mean())


def test_the_penalty_is_zero_for_uncorrelated_features_and_one_for_copies():
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert correlation_penalty(signs.unsqueeze(0)).item() == 0
    copies = torch.tensor([[1.0, -2.0], [3.0, -6.0], [0.0, 0.0]])
    assert correlation_penalty(copies.unsqueeze(0)).item() == pytest.approx(1)


def test_the_penalty_ignores_the_order_of_samples_and_the_units_of_features_but_not_a_rotation():
    embeddings = noise()
    expected = correlation_penalty(embeddings)
    torch.testing.assert_close(correlation_penalty(embeddings.flip(1)), expected)
    units = torch.tensor([1e-3, -2.0, 5.0, 1.0, 1e4], dtype=torch.float64)
    torch.testing.assert_close(correlation_penalty(embeddings * units + 3.0), expected)
    _, axes = torch.linalg.eigh(torch.cov(embeddings[0].T))
    assert correlation_penalty(embeddings @ axes)[0].item() == pytest.approx(0, abs=1e-12)
    assert expected[0] > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["one sample", "constant", "zero", "one feature varies", "constant beside noise"])
def test_features_that_do_not_vary_are_left_out(case, dtype):
    """0.1 is not a binary fraction: the mean of equal numbers may miss them by rounding."""
    embeddings = noise(B=7, dtype=dtype)
    if case == "one sample":
        embeddings = embeddings[:, :1]
    elif case == "constant":
        embeddings.fill_(0.1)
    elif case == "zero":
        embeddings.zero_()
    elif case == "one feature varies":
        embeddings[..., 1:] = 0.1
    else:
        embeddings[..., 2] = 0.1
    expected = 0.0
    if case == "constant beside noise":
        expected = correlation_penalty(embeddings[..., [0, 1, 3, 4]].clone()).sum().item()
        assert expected > 0
    embeddings.requires_grad_()
    found = correlation_penalty(embeddings).sum()
    found.backward()
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert embeddings.grad.isfinite().all()
    constant = {"one feature varies": [1, 2, 3, 4], "constant beside noise": [2]}.get(case, [0, 1, 2, 3, 4])
    assert embeddings.grad[..., constant].abs().max() == 0
    assert (embeddings.grad.abs().max() > 1e-6) == (expected > 0)


def test_any_two_features_of_two_samples_are_correlated():
    embeddings = noise(B=2).requires_grad_()
    penalty = correlation_penalty(embeddings)
    penalty.sum().backward()
    torch.testing.assert_close(penalty, torch.ones(2, dtype=torch.float64))
    assert embeddings.grad.abs().max() < 1e-9


def test_descending_the_penalty_decorrelates():
    embeddings = noise(1, 12, 4).requires_grad_()
    first = correlation_penalty(embeddings).item()
    optimizer = torch.optim.SGD([embeddings], lr=2.0)
    for _ in range(200):
        optimizer.zero_grad()
        correlation_penalty(embeddings).sum().backward()
        optimizer.step()
    assert correlation_penalty(embeddings).item() < first / 100


def test_without_the_regulariser_acf_is_acl_embed_over_samples():
    out, labels = outputs()
    expected = ACLEmbed(0.2, anchors="samples").per_exit(out, labels)
    torch.testing.assert_close(ACF(0.2, correlation_weight=0.0).per_exit(out, labels), expected)


@pytest.mark.parametrize("rho", [-0.1, float("nan"), float("inf")])
def test_a_correlation_weight_out_of_range_is_refused(rho):
    with pytest.raises(UserError, match=r"a correlation_weight \(rho\) >= 0; found"):
        ACF(correlation_weight=rho)


def test_batches_of_one_are_refused_where_a_part_would_always_be_zero():
    for term in (ACF(), SupervisedContrastive()):
        with pytest.raises(UserError, match=f"a batch of at least 2 samples for {term.name}; found 1"):
            WeightedObjective(term).check_batch_size(1)
        WeightedObjective(term).check_batch_size(2)
    WeightedObjective(ACF(correlation_weight=0.0)).check_batch_size(1)
    WeightedObjective(ACLEmbed()).check_batch_size(1)
