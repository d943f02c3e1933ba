"""Every term against its oracle, its invariances, and degenerate batches through backward."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import acl_embed_oracle, supervised_contrastive_oracle
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import (
    ACF,
    ACLCrossLayer,
    ACLEmbed,
    CrossEntropy,
    LeaveWeights,
    MemoryQueue,
    NextExit,
    ReachWeights,
    SelfDistillation,
    SquaredError,
    SumOfTerms,
    SupervisedContrastive,
    WeightedObjective,
)
from acl_lightning.outputs import ExitOutputs


def with_queue(term):
    """A term whose queue holds five samples of every class but the last, and two empty places."""
    generator = torch.Generator().manual_seed(9)
    labels = torch.arange(10) % 2
    term.queue.push(torch.randn(3, 10, 5, generator=generator, dtype=torch.float64), labels)
    return term


#: All that are pure contrasts of unit vectors. ACF has a part that is not: its features are standardised.
CONTRASTIVE = {
    "scl": SupervisedContrastive(0.3),
    "acl_embed": ACLEmbed(0.3),
    "acl_embed, samples": ACLEmbed(0.3, anchors="samples"),
    "acl_cl": ACLCrossLayer(0.3),
    "acl_cl, next, attached": ACLCrossLayer(0.3, teacher=NextExit(), detach=False),
    "acf, contrast": ACF(0.3, correlation_weight=0.0),
    "scl, empty queue": SupervisedContrastive(0.3, MemoryQueue(4)),
}
TERMS = {
    "cross_entropy": CrossEntropy(),
    "cross_entropy, smoothed, weighted": CrossEntropy(0.1, [0.0, 1.0, 2.0]),
    **CONTRASTIVE,
    "acf": ACF(0.3, correlation_weight=0.5),
    "self_distillation": SelfDistillation(),
    "scl, queue": with_queue(SupervisedContrastive(0.3, MemoryQueue(12))),
    "acl_embed, queue": with_queue(ACLEmbed(0.3, queue=MemoryQueue(12))),
    "sum": SumOfTerms([CrossEntropy(), ACLEmbed()], [0.5, 2.0]),
    "cross_entropy, leave weights": CrossEntropy(0.1, [0.0, 1.0, 2.0], LeaveWeights(0.2, 0.1, 0.25)),
    "cross_entropy, reach weights": CrossEntropy(sample_weights=ReachWeights(0.2, 0.1, 0.25)),
}
#: Terms whose teacher is detached: what they give is no gradient of their value, so gradcheck holds the teacher still.
DETACHED = {"acl_cl", "self_distillation"}
#: Terms with detached sample weights: for gradcheck see test_sample_weights.
WEIGHTED = {"cross_entropy, leave weights", "cross_entropy, reach weights"}


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


def test_squared_error_of_a_regression():
    out, _ = outputs(C=1)
    labels = torch.rand(8, dtype=torch.float64)
    expected = ((out.logits_EBC[..., 0] - labels) ** 2).mean(dim=1)
    torch.testing.assert_close(SquaredError().per_exit(out, labels), expected)
    assert not SquaredError().needs_classes


@pytest.mark.parametrize("name", TERMS)
def test_terms_are_invariant_to_the_order_of_the_batch(name):
    out, labels = outputs()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    permuted = ExitOutputs(out.embeddings_EBD[:, order], out.logits_EBC[:, order], out.label_embeddings_ECD)
    expected = TERMS[name].per_exit(out, labels)
    torch.testing.assert_close(TERMS[name].per_exit(permuted, labels[order]), expected)
    other = TERMS[name].per_exit(permuted, labels)  # but they do see which label is whose
    assert (other - expected).abs().max() > 1e-3


@pytest.mark.parametrize("name", CONTRASTIVE)
def test_contrastive_terms_are_invariant_to_rotation_and_length(name):
    term = CONTRASTIVE[name]
    out, labels = outputs()
    reference = term.per_exit(out, labels)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    turned = ExitOutputs(out.embeddings_EBD @ rotation, out.logits_EBC, out.label_embeddings_ECD @ rotation)
    torch.testing.assert_close(term.per_exit(turned, labels), reference)
    lengths = torch.rand(3, 8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 100 + 1e-3
    scaled = ExitOutputs(out.embeddings_EBD * lengths, out.logits_EBC, out.label_embeddings_ECD * 7)
    torch.testing.assert_close(term.per_exit(scaled, labels), reference)


def test_acf_is_invariant_to_one_scale_for_the_whole_representation():
    out, labels = outputs()
    scaled = ExitOutputs(out.embeddings_EBD * 7, out.logits_EBC, out.label_embeddings_ECD * 3)
    torch.testing.assert_close(TERMS["acf"].per_exit(scaled, labels), TERMS["acf"].per_exit(out, labels))


DEGENERATE = ["one sample", "one class", "all distinct", "a class missing", "zero vectors", "equal vectors"]


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_batches_stay_finite_through_backward(name, case):
    out, labels = outputs(B=1 if case == "one sample" else 3)
    if case == "one class":
        labels = torch.zeros_like(labels)
    elif case == "all distinct":
        labels = torch.arange(3)
    elif case == "a class missing":
        labels = torch.tensor([0, 2, 0])
    with torch.no_grad():
        if case == "zero vectors":
            out.embeddings_EBD.zero_()
            out.label_embeddings_ECD.zero_()
        elif case == "equal vectors":
            out.embeddings_EBD.fill_(0.1)
    loss = TERMS[name].per_exit(out, labels).sum()
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


@pytest.mark.parametrize("name", [name for name in TERMS if name not in WEIGHTED])
def test_gradcheck(name):
    out, labels = outputs(E=3 if "queue" in name else 2, B=4)
    tensors = (out.embeddings_EBD, out.logits_EBC, out.label_embeddings_ECD)
    if name not in DETACHED:
        assert torch.autograd.gradcheck(lambda *given: TERMS[name].per_exit(ExitOutputs(*given), labels), tensors)
        return
    deepest = [tensor.detach()[1:] for tensor in tensors]
    students = [tensor.detach()[:1].requires_grad_() for tensor in tensors]

    def of_students(*given):
        joined = [torch.cat(pair) for pair in zip(given, deepest, strict=True)]
        return TERMS[name].per_exit(ExitOutputs(*joined), labels)[0]

    assert torch.autograd.gradcheck(of_students, students)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tau", [0.01, 0.05, 0.3, 1.0, 10.0])
@pytest.mark.parametrize("term_class", [SupervisedContrastive, ACLEmbed, ACLCrossLayer, ACF, SelfDistillation])
def test_no_temperature_overflows(term_class, tau, dtype):
    """Through the objective, which promotes; and it says what float64 says of the same, rounded, numbers."""
    out, labels = outputs(dtype=dtype, scale=1e3)
    objective = WeightedObjective(term_class(tau))
    loss = objective(out, labels)[term_class.name]
    loss.backward()
    assert loss.dtype == torch.float32
    expected = objective(out.map(lambda tensor: tensor.detach().double()), labels)[term_class.name]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    for tensor in (out.embeddings_EBD, out.logits_EBC, out.label_embeddings_ECD):
        assert tensor.grad is None or tensor.grad.isfinite().all()


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
@pytest.mark.parametrize("term_class", [SupervisedContrastive, ACLEmbed, ACLCrossLayer, ACF, SelfDistillation])
def test_a_temperature_that_is_not_positive_is_refused(term_class, tau):
    with pytest.raises(UserError, match="expected a temperature > 0; found"):
        term_class(temperature=tau)


def test_a_misspelt_choice_of_anchors_is_refused():
    with pytest.raises(UserError, match='anchors "all" or "samples"; found \'All\''):
        ACLEmbed(anchors="All")
