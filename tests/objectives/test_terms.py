"""Every term against its oracle, its invariances, and degenerate batches through backward."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import acl_embed_oracle, supervised_contrastive_oracle

from acl_lightning.errors import UserError
from acl_lightning.objectives import ACLEmbed, CrossEntropy, SquaredError, SupervisedContrastive
from acl_lightning.outputs import ExitOutputs

TERMS = [CrossEntropy(), SupervisedContrastive(0.3), ACLEmbed(0.3), ACLEmbed(0.3, anchors="samples")]
CONTRASTIVE = TERMS[1:]


def outputs(seed=0, E=3, B=8, D=5, C=3, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    tensors = [
        (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
        for shape in ((E, B, D), (E, B, C), (E, C, D))
    ]
    labels = torch.randint(C, (B,), generator=generator)
    return ExitOutputs(*tensors), labels


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 7), classes=st.integers(2, 4), tau=st.floats(0.01, 10))
@settings(max_examples=40, deadline=None)
def test_contrastive_terms_equal_their_slow_oracles(seed, batch, classes, tau):
    out, labels = outputs(seed, B=batch, C=classes)
    scl = SupervisedContrastive(tau).per_exit(out, labels)
    for e in range(3):
        h, w = out.embeddings_EBD[e].tolist(), out.label_embeddings_ECD[e].tolist()
        assert scl[e].item() == pytest.approx(
            supervised_contrastive_oracle(h, labels.tolist(), tau), rel=1e-9, abs=1e-9
        )
        for anchors in ("all", "samples"):
            got = ACLEmbed(tau, anchors).per_exit(out, labels)[e].item()
            assert got == pytest.approx(acl_embed_oracle(h, labels.tolist(), w, tau, anchors == "all"), rel=1e-9)


def test_cross_entropy_is_the_mean_negative_log_probability():
    out, labels = outputs()
    expected = -out.logits_EBC.log_softmax(-1)[:, torch.arange(8), labels].mean(dim=1)
    torch.testing.assert_close(CrossEntropy().per_exit(out, labels), expected)


def test_squared_error_serves_regression():
    out, _ = outputs(C=1)
    labels = torch.rand(8, dtype=torch.float64)
    expected = ((out.logits_EBC[..., 0] - labels) ** 2).mean(dim=1)
    torch.testing.assert_close(SquaredError().per_exit(out, labels), expected)
    assert not SquaredError().needs_classes


@pytest.mark.parametrize("term", CONTRASTIVE, ids=lambda t: f"{t.name}-{getattr(t, 'label_anchors', '')}")
def test_contrastive_terms_are_invariant_to_batch_order_rotation_and_length(term):
    out, labels = outputs()
    reference = term.per_exit(out, labels)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    permuted = ExitOutputs(out.embeddings_EBD[:, order], out.logits_EBC[:, order], out.label_embeddings_ECD)
    torch.testing.assert_close(term.per_exit(permuted, labels[order]), reference)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    turned = ExitOutputs(out.embeddings_EBD @ rotation, out.logits_EBC, out.label_embeddings_ECD @ rotation)
    torch.testing.assert_close(term.per_exit(turned, labels), reference)
    lengths = torch.rand(3, 8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 100 + 1e-3
    scaled = ExitOutputs(out.embeddings_EBD * lengths, out.logits_EBC, out.label_embeddings_ECD * 7)
    torch.testing.assert_close(term.per_exit(scaled, labels), reference)


@pytest.mark.parametrize("term", TERMS, ids=lambda t: t.name)
@pytest.mark.parametrize("case", ["one sample", "one class", "all distinct", "zero vectors", "equal vectors"])
def test_degenerate_batches_stay_finite_through_backward(term, case):
    out, labels = outputs(B=1 if case == "one sample" else 3)
    if case == "one class":
        labels = torch.zeros_like(labels)
    elif case == "all distinct":
        labels = torch.arange(3)
    with torch.no_grad():
        if case == "zero vectors":
            out.embeddings_EBD.zero_()
            out.label_embeddings_ECD.zero_()
        elif case == "equal vectors":
            out.embeddings_EBD.fill_(1.0)
    loss = term.per_exit(out, labels).sum()
    assert loss.isfinite()
    loss.backward()
    for tensor in (out.embeddings_EBD, out.logits_EBC, out.label_embeddings_ECD):
        assert tensor.grad is None or tensor.grad.isfinite().all()
        if case == "zero vectors" and tensor.grad is not None and tensor is not out.logits_EBC:
            assert tensor.grad.abs().max() == 0


def test_scl_without_any_pair_is_a_zero_that_carries_a_graph():
    out, _ = outputs(B=3)
    loss = SupervisedContrastive().per_exit(out, torch.arange(3)).sum()
    loss.backward()
    assert loss.item() == 0
    assert out.embeddings_EBD.grad.abs().max() == 0


@pytest.mark.parametrize("term", TERMS, ids=lambda t: t.name)
def test_gradcheck(term):
    out, labels = outputs(E=2, B=4)

    def function(*tensors):
        return term.per_exit(ExitOutputs(*tensors), labels)

    assert torch.autograd.gradcheck(function, (out.embeddings_EBD, out.logits_EBC, out.label_embeddings_ECD))


@pytest.mark.parametrize("tau", [0.01, 0.05, 0.3, 1.0, 10.0])
@pytest.mark.parametrize("term_class", [SupervisedContrastive, ACLEmbed])
def test_no_temperature_overflows_in_float32(term_class, tau):
    out, labels = outputs(dtype=torch.float32, scale=1e4)
    loss = term_class(tau).per_exit(out, labels)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert out.embeddings_EBD.grad.isfinite().all()


def test_acl_embed_reaches_samples_and_label_embeddings_also_without_pairs():
    out, _ = outputs(B=3)
    ACLEmbed().per_exit(out, torch.arange(3)).sum().backward()
    assert out.embeddings_EBD.grad.abs().sum() > 0
    assert out.label_embeddings_ECD.grad.abs().sum() > 0


def test_acl_embed_descends_towards_the_right_label_embedding():
    out, labels = outputs(E=1, B=2, C=2)
    term, embeddings = ACLEmbed(0.3), out.embeddings_EBD.detach().clone().requires_grad_()
    label_embeddings = out.label_embeddings_ECD.detach()
    for _ in range(300):
        loss = term.per_exit(ExitOutputs(embeddings, out.logits_EBC, label_embeddings), labels).sum()
        (gradient,) = torch.autograd.grad(loss, embeddings)
        embeddings = (embeddings - 0.5 * gradient).detach().requires_grad_()
    similarity = torch.cosine_similarity(embeddings[0].unsqueeze(1), label_embeddings[0].unsqueeze(0), dim=-1)
    assert similarity.argmax(dim=1).tolist() == labels.tolist()


@pytest.mark.parametrize("tau", [0.0, -0.3, float("nan"), float("inf")])
@pytest.mark.parametrize("term_class", [SupervisedContrastive, ACLEmbed])
def test_a_temperature_that_is_not_positive_is_refused(term_class, tau):
    with pytest.raises(UserError, match="expected a temperature > 0; found"):
        term_class(temperature=tau)
