"""The three modes of the adaptive runtime: the same answers in the order of the input, from a stream of any length."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_runtime import Flag, answers, leaving_at, numbers, scripted
from tiny_models import RAGGED, batch, tiny

from acl_lightning.encoders import EXIT_ROWS, BertFamily, ExitHead, MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    FPABEE,
    PCEE,
    Confidence,
    Entropy,
    LearntGate,
    Margin,
    Patience,
    Static,
    exit_index,
)
from acl_lightning.exits.inference import MODES, AdaptiveRuntime, Decisions, LatencyMode, ThroughputMode

CRITERIA = [Confidence(), Entropy(), Margin(), Patience(), PCEE(bound=0.5), FPABEE(bound=0.1), LearntGate(), Static()]
KINDS = list(EXIT_ROWS)


def stream_of(lengths, sizes):
    """Batches of the given sizes, in which every token of sample b is b; each padded to its own longest."""
    ids, mask = numbers(lengths)
    for ids_part, mask_part in zip(ids.split(sizes), mask.split(sizes), strict=True):
        longest = int(mask_part.sum(dim=1).amax()) if len(mask_part) else 0
        yield {"input_ids": ids_part[:, :longest], "attention_mask": mask_part[:, :longest], "labels": mask_part}


def joined(decisions: list[Decisions]) -> Decisions:
    columns = ("logits_BC", "exit_B", "exit_layer_B")
    return Decisions(*(torch.cat([getattr(one, name) for one in decisions]) for name in columns))


@st.composite
def streams(draw):
    size = draw(st.sampled_from([1, 3, 32]))
    sizes = [size] * draw(st.integers(0, 5)) + draw(st.lists(st.integers(0, size), max_size=2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    num_exits, total = draw(st.integers(1, 6)), sum(sizes)
    logits_EBC = (3 * torch.randn(num_exits, total, 3, generator=generator)).round(decimals=draw(st.integers(0, 2)))
    lengths = torch.randint(1, 9, (total,), generator=generator).tolist()
    layers = tuple(sorted(torch.randperm(9, generator=generator)[:num_exits].add(1).tolist()))
    return logits_EBC, lengths, sizes, layers


@settings(max_examples=100)
@given(
    streams(),
    st.sampled_from(CRITERIA),
    st.sampled_from([*(make() for make in MODES.values()), ThroughputMode(1), ThroughputMode(3)]),
    st.sampled_from([0, 12, 10**9]),
    st.data(),
)
def test_every_mode_leaves_and_answers_as_the_sweep_does(case, criterion, mode, row_first_tokens, data):
    logits_EBC, lengths, sizes, layers = case
    encoder = scripted(logits_EBC, layers)
    gates_EB = logits_EBC[..., 0]
    encoder.gates = lambda embeddings: None
    if isinstance(criterion, LearntGate):
        read = encoder.exit_first

        def with_gate(layer, state, **options):
            reading, half = read(layer, state, **options)
            samples_R = state.hidden_BSD[:, 0, 0].long()
            return reading._replace(gates_B=gates_EB[layers.index(layer + 1), samples_R]), half

        encoder.exit_first = with_gate
    threshold = data.draw(st.sampled_from(criterion.thresholds(len(logits_EBC))))
    runtime = AdaptiveRuntime(encoder, criterion, threshold, row_first_tokens=row_first_tokens)
    found = list(runtime.stream(stream_of(lengths, sizes), mode))
    assert [len(decisions.exit_B) for decisions in found] == sizes
    if not sum(sizes):
        return
    certainty_EB = criterion.certainty(criterion.inputs(logits_EBC, gates_EB))
    exit_B = exit_index(certainty_EB, torch.tensor([threshold], dtype=torch.float64))[0]
    decisions = joined(found)
    assert torch.equal(decisions.exit_B, exit_B)
    assert torch.equal(decisions.logits_BC, answers(logits_EBC, exit_B))
    assert decisions.exit_layer_B.tolist() == [layers[exit_] for exit_ in exit_B]


def test_a_window_repacks_the_survivors_into_full_batches_sorted_by_length():
    """Six samples in batches of two; three survive the first exit, of lengths 2, 7, 5."""
    encoder = scripted(leaving_at([0, 1, 2, 0, 1, 0], num_exits=3))
    runtime = AdaptiveRuntime(encoder, Flag(), 0.5, row_first_tokens=0)
    found = joined(list(runtime.stream(stream_of([8, 2, 7, 3, 5, 4], [2, 2, 2]), ThroughputMode(3))))
    assert found.exit_B.tolist() == [0, 1, 2, 0, 1, 0]
    assert found.logits_BC[:, 1].tolist() == [0, 1, 2, 3, 4, 5]
    assert encoder.backbone.calls == [
        *[(0, 2, 1), (0, 2, 1), (0, 2, 1)],  # the exit rows of packs of lengths (2, 3), (4, 5), (7, 8)
        *[(0, 1, 2), (0, 1, 5), (0, 1, 7)],  # the survivors finish where they are,
        *[(1, 2, 1), (1, 1, 1)],  # and enter the next layer as (2, 5) and (7)
        (1, 1, 7),
        (2, 1, 1),
    ]


def test_one_sample_at_a_time_carries_no_padding():
    encoder = scripted(leaving_at([1, 0], num_exits=2))
    list(AdaptiveRuntime(encoder, Flag(), 0.5).stream(stream_of([2, 6], [2]), LatencyMode()))
    assert encoder.backbone.calls == [(0, 1, 2), (1, 1, 1), (0, 1, 6)]


@pytest.mark.parametrize(
    ("mode", "ahead"), [("latency", 1), ("batch", 1), (ThroughputMode(4), 4)], ids=["latency", "batch", "window-4"]
)
def test_no_more_of_a_stream_is_read_than_is_taken_together(mode, ahead):
    read = []

    def endless():
        while True:
            read.append(1)
            yield {"input_ids": torch.zeros(2, 3).long(), "attention_mask": torch.ones(2, 3).long()}

    found = AdaptiveRuntime(scripted(leaving_at([0])), Flag(), 0.5).stream(endless(), mode)
    assert read == []
    next(found)
    assert len(read) == ahead


def test_a_stream_without_batches_has_no_decisions():
    runtime = AdaptiveRuntime(scripted(leaving_at([0])), Flag(), 0.5)
    for mode in MODES:
        assert list(runtime.stream([], mode)) == []


def test_memory_is_bounded_by_the_window_while_a_hundred_thousand_sentences_pass():
    encoder = scripted(leaving_at([0, 1, 2, 3]))
    alive, most = weakref.WeakSet(), 0
    embed = encoder.backbone.embed

    def watched(**inputs):
        nonlocal most
        state = embed(**inputs)
        alive.add(state.hidden_BSD)
        most = max(most, len(alive))
        return state

    encoder.backbone.embed = watched
    ids = torch.arange(4).repeat(250)[:, None].expand(1000, 3)
    stream = ({"input_ids": ids, "attention_mask": torch.ones_like(ids)} for _ in range(100))
    encoder.backbone.calls = type("Forgetful", (list,), {"append": lambda self, item: None})()
    count = sum(len(one.exit_B) for one in AdaptiveRuntime(encoder, Flag(), 0.5).stream(stream, ThroughputMode(4)))
    gc.collect()
    assert count == 100_000
    assert most <= 4
    assert len(alive) == 0


def real(family, kind, attention="sdpa"):
    """Four layers with an exit each, whose heads have opinions, and a learnt gate."""
    backbone = BertFamily(tiny(family, attention=attention, dropout=0.0))
    torch.manual_seed(0)
    heads = [ExitHead(backbone.width, 3, pooler=True, pretrained_pooler=None, dropout=0.0) for _ in range(4)]
    for head in heads:
        head.classifier.weight.data.mul_(50)
    rows = [EXIT_ROWS[kind](backbone.width) for _ in range(4)]
    return MultiExitEncoder(backbone, (1, 2, 3, 4), rows, heads, learnt_gate=True).eval()


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
@pytest.mark.parametrize("kind", KINDS)
def test_row_first_equals_whole_layers(family, kind, attention):
    """Exit and tokens of every layer, for ragged and for even lengths."""
    encoder = real(family, kind, attention)
    for lengths in (RAGGED, [6, 6, 6], [5]):
        state = encoder.embed(**batch(lengths))
        for layer in range(3):
            first, half = encoder.exit_first(layer, state)
            at_once, passed = encoder.exit_first(layer, state, whole=True)
            following, expected = encoder.finish(half), encoder.finish(passed)
            torch.testing.assert_close(first.logits_BC, at_once.logits_BC, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(first.gates_B, at_once.gates_B, atol=1e-5, rtol=1e-5)
            real_tokens = slice(None) if state.mask_BS is None else state.mask_BS
            torch.testing.assert_close(
                following.hidden_BSD[real_tokens], expected.hidden_BSD[real_tokens], atol=1e-5, rtol=1e-5
            )
            torch.testing.assert_close(at_once.logits_BC, encoder.advance(layer, state).logits_BC, atol=1e-5, rtol=1e-5)
            state = expected


@torch.no_grad()
@pytest.mark.parametrize("mode", [*MODES, ThroughputMode(2)], ids=[*MODES, "window-2"])
@pytest.mark.parametrize("family", ["bert", "roberta", "electra-projected"])
@pytest.mark.parametrize("kind", KINDS)
def test_real_encoders_answer_alike_in_every_mode(family, kind, mode):
    encoder = real(family, kind)
    batches = [batch(lengths, seed) for seed, lengths in enumerate([RAGGED, [6, 6, 6], [1, 18], [4]])]
    logits_EBC = torch.cat([encoder(**one).logits_EBC for one in batches], dim=1)
    certainty_EB = Confidence().certainty(logits_EBC)
    values = certainty_EB.flatten().sort().values
    thresholds = ((values[1:] + values[:-1]) / 2)[::7].tolist()  # between two certainties
    left_early = 0
    for threshold in thresholds:
        found = joined(
            list(AdaptiveRuntime(encoder, Confidence(), threshold, row_first_tokens=30).stream(batches, mode))
        )
        exit_B = exit_index(certainty_EB, torch.tensor([threshold], dtype=torch.float64))[0]
        decided = (certainty_EB - threshold).abs().amin(dim=0) > 1e-5
        assert torch.equal(found.exit_B[decided], exit_B[decided])
        torch.testing.assert_close(found.logits_BC[decided], answers(logits_EBC, exit_B)[decided], atol=1e-4, rtol=1e-4)
        left_early += int((exit_B < 3).sum())
    assert left_early > 0


@torch.no_grad()
def test_another_precision_or_a_compiled_copy_leaves_the_encoder_alone():
    encoder = real("bert", "mean_row")
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    inputs = batch([6, 4])
    exact = AdaptiveRuntime(encoder, Static(), 2.0)(**inputs)
    rounded = AdaptiveRuntime(encoder, Static(), 2.0, dtype=torch.bfloat16)
    assert rounded.encoder.heads[0].classifier.weight.dtype == torch.bfloat16
    found = rounded(**inputs)
    assert found.logits_BC.dtype == torch.float32
    assert found.exit_layer_B.tolist() == [2, 2]
    difference = (found.logits_BC - exact.logits_BC).abs().max()
    assert 0 < difference < 0.2 * exact.logits_BC.abs().max()
    compiled = AdaptiveRuntime(encoder, Static(), 2.0, compile_layers=True)
    assert compiled.encoder.backbone.compile_layers
    assert not encoder.backbone.compile_layers
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_unknown_modes_and_empty_groups_of_batches_are_refused():
    runtime = AdaptiveRuntime(scripted(leaving_at([0])), Flag(), 0.5)
    with pytest.raises(UserError, match="a mode among latency, batch, throughput; found 'fast'"):
        runtime.stream([], "fast")
    with pytest.raises(UserError, match="1 batch or more taken together; found 0"):
        ThroughputMode(0)
