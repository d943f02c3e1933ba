"""The memory queue: contents, losses against slow oracles, warm-up, other exits, checkpoints, bad input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import queue_oracle
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import ACLEmbed, CrossEntropy, MemoryQueue, SumOfTerms, SupervisedContrastive
from acl_lightning.objectives import WeightedObjective as Weighted


def numbered(first, count, E=2, D=3):
    """Representations whose entries are the number of the sample."""
    numbers = torch.arange(first, first + count, dtype=torch.float64)
    return numbers.view(1, -1, 1).expand(E, -1, D), numbers.long() % 5


def contents(queue):
    """Numbers of the samples in the queue, in the order of their places; None for an empty place."""
    places = zip(queue.embeddings_EQD[0, :, 0].tolist(), queue.labels_Q.tolist(), strict=True)
    return [None if label < 0 else int(number) for number, label in places]


def test_the_oldest_samples_leave_first():
    queue = MemoryQueue(5)
    queue.push(*numbered(0, 3))
    assert contents(queue) == [0, 1, 2, None, None]
    queue.push(*numbered(3, 4))
    assert contents(queue) == [5, 6, 2, 3, 4]
    assert queue.labels_Q.tolist() == [0, 1, 2, 3, 4]
    queue.push(*numbered(7, 12))  # more than the queue holds
    assert sorted(contents(queue)) == [14, 15, 16, 17, 18]
    queue.clear()
    assert contents(queue) == [None] * 5


@given(seed=st.integers(0, 10_000), size=st.integers(1, 9), batch=st.integers(1, 5), tau=st.floats(0.05, 5))
@settings(max_examples=20, deadline=None)
def test_losses_equal_their_slow_oracles(seed, size, batch, tau):
    terms = [SupervisedContrastive(tau, MemoryQueue(size)), ACLEmbed(tau, queue=MemoryQueue(size))]
    earlier = [outputs(seed + k, B=batch) for k in (1, 2, 3)]
    for term in terms:
        for out, labels in earlier:
            term.after_batch(out.detached(), labels)
    history = [(out.embeddings_EBD[:, b], int(labels[b])) for out, labels in earlier for b in range(batch)][-size:]
    out, labels = outputs(seed, B=batch)
    losses = [term.per_exit(out, labels) for term in terms]
    for e in range(3):
        kept, kept_labels = [h[e].tolist() for h, _ in history], [label for _, label in history]
        vectors, W = out.embeddings_EBD[e].tolist(), out.label_embeddings_ECD[e].tolist()
        for loss_E, label_embeddings in zip(losses, ([], W), strict=True):
            expected = queue_oracle(vectors, labels.tolist(), kept, kept_labels, tau, label_embeddings)
            assert loss_E[e].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_single_sample_learns_from_the_queue_and_the_queue_has_no_graph():
    term = SupervisedContrastive(queue=MemoryQueue(8))
    assert term.min_samples == 1
    first, labels = outputs(1, B=1)
    term.after_batch(first, labels)
    assert not term.queue.embeddings_EQD.requires_grad
    term.after_batch(outputs(2, B=1)[0], 1 - labels.clamp(max=1))
    out, _ = outputs(3, B=1)
    term.per_exit(out, labels).sum().backward()
    assert out.embeddings_EBD.grad.abs().max() > 1e-3
    assert first.embeddings_EBD.grad is None


def test_without_samples_the_loss_is_that_of_the_batch():
    out, labels = outputs()
    for with_queue, plain in ((SupervisedContrastive(0.3, MemoryQueue(4)), SupervisedContrastive(0.3)),
                              (ACLEmbed(0.3, "samples", MemoryQueue(4)), ACLEmbed(0.3, "samples"))):  # fmt: skip
        expected = plain.per_exit(out, labels)
        assert torch.equal(with_queue.per_exit(out, labels), expected)
        with_queue.after_batch(out.detached(), labels)
        assert (with_queue.per_exit(out, labels) - expected).abs().min() > 1e-3
        assert torch.equal(with_queue.within_batch(out, labels), expected)  # for telemetry
        with_queue.begin_stage()
        torch.testing.assert_close(with_queue.per_exit(out, labels), expected)


def test_the_queue_is_used_after_the_warm_up():
    out, labels = outputs()
    term = SupervisedContrastive(queue=MemoryQueue(16, warmup_batches=2))
    plain = term.within_batch(out, labels)
    term.after_batch(outputs(1)[0], labels)
    torch.testing.assert_close(term.per_exit(out, labels), plain)
    term.after_batch(outputs(2)[0], labels)
    assert (term.per_exit(out, labels) - plain).abs().min() > 1e-3
    assert (term.queue.labels_Q >= 0).all()  # the first batch is in it, too


def test_samples_of_other_exits_are_not_used_and_replaced():
    term = SupervisedContrastive(queue=MemoryQueue(16))
    term.after_batch(*outputs(1, E=2))
    out, labels = outputs(E=3)
    torch.testing.assert_close(term.per_exit(out, labels), term.within_batch(out, labels))
    term.after_batch(out.detached(), labels)
    assert term.queue.embeddings_EQD.shape == (3, 16, 5)
    assert (term.queue.labels_Q >= 0).sum() == 8


def test_samples_that_are_not_finite_are_left_out():
    queue = MemoryQueue(4)
    embeddings_EBD, labels_B = numbered(1, 3)
    broken_EBD = embeddings_EBD.clone()
    broken_EBD[1, 1, 2] = float("nan")
    queue.push(broken_EBD, labels_B)
    assert contents(queue) == [1, None, 3, None]
    assert queue.embeddings_EQD.isfinite().all()


def test_a_checkpoint_holds_the_queue():
    first, second = (Weighted(ACLEmbed(queue=MemoryQueue(6, 1))) for _ in range(2))
    out, labels = outputs(dtype=torch.float32)
    first.after_batch(out.detached(), labels)
    second.load_state_dict(first.state_dict())
    for objective in (first, second):
        objective.after_batch(outputs(1, dtype=torch.float32)[0].detached(), labels)
    assert torch.equal(second(out, labels)["acl_embed"], first(out, labels)["acl_embed"])
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers(), strict=True))
    with pytest.raises(RuntimeError, match="size mismatch"):
        Weighted(ACLEmbed(queue=MemoryQueue(5, 1))).load_state_dict(first.state_dict())


def test_an_objective_gives_a_batch_to_every_queue_once():
    """Also to the parts of a sum, and in the precision of the comparison."""
    parts = SumOfTerms([CrossEntropy(), ACLEmbed(queue=MemoryQueue(8))], [1.0, 1.0])
    objective = Weighted(SupervisedContrastive(queue=MemoryQueue(8)), protected=parts)
    assert objective.keeps_samples
    assert not Weighted(ACLEmbed()).keeps_samples
    out, labels = outputs(B=3, dtype=torch.bfloat16)
    objective.after_batch(out.detached(), labels)
    for queue in (module for module in objective.modules() if isinstance(module, MemoryQueue)):
        assert (queue.labels_Q >= 0).sum() == 3
        assert queue.embeddings_EQD.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "a size >= 1 of the memory queue; found 0"), ((8, -1), "warmup_batches >= 0; found -1")],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        MemoryQueue(*arguments)
