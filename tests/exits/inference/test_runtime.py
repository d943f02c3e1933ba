"""The adaptive runtime exits every sample where the sweep says, and computes no more than that."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from acl_lightning.encoders import Backbone, ClsRow, EncoderConfig, ExitHead, KeysValues, MultiExitEncoder, TokenState
from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence, Criterion, Entropy, Patience, Static, exit_index
from acl_lightning.exits.inference import ROW_FIRST_TOKENS, AdaptiveRuntime

KINDS = ["cls", "mean_row", "probe", "mean_pool"]


class Scripted(Backbone):
    """Carries each sample's number through the layers and notes how many samples and tokens each layer computes."""

    width, max_tokens = 1, 512

    def __init__(self, depth):
        super().__init__()
        self.depth, self.calls = depth, []

    def embed(self, input_ids, attention_mask, token_type_ids=None):
        return TokenState(input_ids.unsqueeze(-1).double(), attention_mask.bool())

    def keys_values(self, layer, state):
        empty = state.hidden_BSD.unsqueeze(1)
        return KeysValues(empty, empty)

    def rows(self, layer, query_BRD, keys_values, mask_BS):
        rows, _, tokens, _ = keys_values.keys_BHSd.shape
        assert len(query_BRD) == rows
        assert mask_BS is None or mask_BS.shape == (rows, tokens)
        self.calls.append((layer, *query_BRD.shape[:2]))
        return query_BRD

    def pooler(self):
        return None

    def cut(self, num_layers):
        pass


class Lookup(ExitHead):
    """Answers with the logits written down for the sample's number."""

    def __init__(self, logits_BC):
        super().__init__(1, logits_BC.shape[1], pooler=False, pretrained_pooler=None, dropout=0.0)
        self.logits_BC = logits_BC

    def embed(self, row_BD):
        return row_BD

    def classify(self, embedding_BD):
        return self.logits_BC[embedding_BD[:, 0].long()]


def scripted(logits_EBC, exit_layers=None):
    exit_layers = exit_layers or tuple(range(1, len(logits_EBC) + 1))
    backbone = Scripted(exit_layers[-1])
    return MultiExitEncoder(
        backbone, exit_layers, [ClsRow(1) for _ in exit_layers], [Lookup(logits_BC) for logits_BC in logits_EBC]
    ).eval()


def numbers(lengths):
    """Every token of sample b is b."""
    batch, longest = len(lengths), max(lengths, default=0)
    mask = torch.arange(longest) < torch.tensor(lengths, dtype=torch.long)[:, None]
    return torch.arange(batch)[:, None].expand(batch, longest), mask.long()


def run(logits_EBC, criterion, threshold, lengths=None, exit_layers=None):
    encoder = scripted(logits_EBC, exit_layers)
    lengths = lengths or [4] * logits_EBC.shape[1]
    decisions = AdaptiveRuntime(encoder, criterion, threshold, row_first_tokens=0)(*numbers(lengths))
    return decisions, encoder.backbone.calls


def answers(logits_EBC, exit_B):
    return logits_EBC[exit_B, torch.arange(len(exit_B))]


@st.composite
def cases(draw, classes):
    num_exits, batch = draw(st.integers(1, 6)), draw(st.sampled_from([1, 3, 32]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    logits_EBC = 3 * torch.randn(num_exits, batch, classes, generator=generator)
    if draw(st.booleans()):
        logits_EBC = logits_EBC.round()  # ties in certainty and prediction
    if draw(st.booleans()):
        spoilt = torch.rand(num_exits, batch, generator=generator) < 0.2
        logits_EBC[spoilt] = draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    lengths = torch.randint(1, 9, (batch,), generator=generator).tolist()
    layers = sorted(torch.randperm(9, generator=generator)[:num_exits].add(1).tolist())
    return logits_EBC, lengths, tuple(layers)


def check_against_sweep(case, criterion, threshold):
    """Assert equality bit for bit: the same criterion reads the same written logits on the same machine."""
    logits_EBC, lengths, layers = case
    decisions, _ = run(logits_EBC, criterion, threshold, lengths, layers)
    certainty_EB = criterion.certainty(logits_EBC)
    exit_B = exit_index(certainty_EB, torch.tensor([threshold], dtype=torch.float64))[0]
    assert torch.equal(decisions.exit_B, exit_B)
    torch.testing.assert_close(decisions.logits_BC, answers(logits_EBC, exit_B), rtol=0, atol=0, equal_nan=True)
    assert decisions.exit_layer_B.tolist() == [layers[exit_] for exit_ in exit_B]


@settings(max_examples=60)
@given(cases(classes=3), st.sampled_from([Confidence(), Entropy(), Patience(), Static()]), st.data())
def test_exits_and_answers_equal_the_sweeps(case, criterion, data):
    grid = criterion.thresholds(len(case[0]))
    reached = criterion.certainty(case[0]).flatten()
    exact = [value for value in reached[reached.isfinite()].tolist() if criterion.name in ("confidence", "entropy")]
    check_against_sweep(case, criterion, data.draw(st.sampled_from([*grid, *exact])))


@settings(max_examples=30)
@given(cases(classes=1), st.sampled_from([Patience(delta=1.0), Static()]), st.integers(1, 5))
def test_regression_exits_equal_the_sweeps(case, criterion, threshold):
    check_against_sweep(case, criterion, float(threshold))


class Flag(Criterion):
    """Certain where the first logit is positive; counts what it was shown."""

    name = "flag"
    supports_regression = True

    def __init__(self):
        self.shown = []

    def certainty(self, logits_EBC):
        self.shown.append(tuple(logits_EBC.shape))
        return logits_EBC[..., 0].float()

    def thresholds(self, num_exits):
        return [0.5]

    def check_threshold(self, threshold):
        pass


def leaving_at(exits, num_exits=4):
    """Logits by which sample b leaves at exit `exits[b]` under `Flag`."""
    return torch.stack(
        [torch.tensor([[float(e == at), float(b)] for b, at in enumerate(exits)]) for e in range(num_exits)]
    )


def test_layers_compute_only_the_samples_that_stay_and_only_their_tokens():
    decisions, calls = run(leaving_at([2, 0, 3, 0, 1]), Flag(), 0.5, lengths=[3, 8, 2, 1, 5])
    assert decisions.exit_B.tolist() == [2, 0, 3, 0, 1]
    assert decisions.logits_BC[:, 1].tolist() == [0, 1, 2, 3, 4]
    assert calls == [
        *[(0, 5, 1), (0, 3, 5)],  # five exit rows; three samples stay, the longest of 5 tokens
        *[(1, 3, 1), (1, 2, 3)],
        *[(2, 2, 1), (2, 1, 2)],
        (3, 1, 1),  # of the last layer, the exit row alone
    ]


def test_nothing_is_computed_when_no_sample_is_left():
    decisions, calls = run(leaving_at([1, 0, 1]), Flag(), 0.5)
    assert decisions.exit_layer_B.tolist() == [2, 1, 2]
    assert calls == [(0, 3, 1), (0, 2, 4), (1, 2, 1)]


def test_criteria_see_the_survivors_history():
    flag = Flag()
    run(leaving_at([2, 0, 3, 0, 1]), flag, 0.5)
    assert flag.shown == [(1, 5, 2), (2, 3, 2), (3, 2, 2)]


def test_layers_without_exit_are_passed_whole():
    decisions, calls = run(leaving_at([0, 1], num_exits=2), Flag(), 0.5, exit_layers=(2, 4))
    assert decisions.exit_layer_B.tolist() == [2, 4]
    assert calls == [(0, 2, 4), (1, 2, 1), (1, 1, 4), (2, 1, 4), (3, 1, 1)]


def test_few_tokens_pass_a_layer_at_once_and_many_row_first():
    """The same exits; by default the switch is at `ROW_FIRST_TOKENS`, padding counted."""
    exits, length = [2, 1, 3, 1], ROW_FIRST_TOKENS // 4
    for lengths, first in (([length] * 4, [(0, 4, 1), (0, 4, length)]), ([length - 1] * 4, [(0, 4, length - 1)])):
        encoder = scripted(leaving_at(exits))
        decisions = AdaptiveRuntime(encoder, Flag(), 0.5)(*numbers(lengths))
        assert decisions.exit_B.tolist() == exits
        assert encoder.backbone.calls[: len(first)] == first
    assert encoder.backbone.calls == [
        (0, 4, length - 1),
        (1, 4, length - 1),
        (2, 2, length - 1),
        (3, 1, 1),
    ]


def test_an_empty_batch_has_empty_decisions():
    encoder = scripted(torch.zeros(3, 1, 2))
    decisions = AdaptiveRuntime(encoder, Confidence(), 0.9)(torch.zeros(0, 5).long(), torch.zeros(0, 5).long())
    assert decisions.logits_BC.shape == (0, 2)
    assert decisions.exit_B.shape == decisions.exit_layer_B.shape == (0,)
    assert decisions.exit_B.dtype == torch.long
    assert encoder.backbone.calls == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("criterion", "threshold"), [(Confidence(), 0.0), (Entropy(), 0.0), (Patience(), 1.0)])
def test_logits_that_are_not_finite_are_no_reason_to_leave(criterion, threshold, value):
    logits_EBC = torch.tensor([[9.0, 0.0]]).repeat(4, 2, 1)
    logits_EBC[:3, 1, 0] = value
    decisions, _ = run(logits_EBC, criterion, threshold)
    assert decisions.exit_B[0] < 2
    assert decisions.exit_B[1] == 3


@torch.no_grad()
@pytest.mark.parametrize("lengths", [[9, 3, 14, 1, 9, 6, 14, 2], [8] * 8, [5]])
@pytest.mark.parametrize("kind", KINDS)
def test_real_encoders_leave_where_their_full_logits_say(tiny_backbone, kind, lengths):
    torch.manual_seed(0)
    encoder = EncoderConfig(tiny_backbone, exit_row=kind, pooler=False).build(2).eval()
    for head in encoder.heads:
        head.classifier.weight.mul_(30)  # opinions, not coin flips
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    inputs = {"input_ids": torch.randint(1000, 9000, mask.shape) * mask, "attention_mask": mask}
    logits_EBC = encoder(**inputs).logits_EBC
    certainty_EB = Confidence().certainty(logits_EBC)
    values = certainty_EB.flatten().sort().values
    for threshold in ((values[1:] + values[:-1]) / 2)[::3].tolist():  # between two certainties
        decisions = AdaptiveRuntime(encoder, Confidence(), threshold)(**inputs)
        exit_B = exit_index(certainty_EB, torch.tensor([threshold], dtype=torch.float64))[0]
        decided = (certainty_EB - threshold).abs().amin(dim=0) > 1e-5
        assert torch.equal(decisions.exit_B[decided], exit_B[decided])
        torch.testing.assert_close(
            decisions.logits_BC[decided], answers(logits_EBC, exit_B)[decided], atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("threshold", "read"), [(1, [0]), (2, [1]), (3, [2]), (9, [2])])
def test_a_static_exit_is_the_only_one_that_is_read(tiny_backbone, kind, threshold, read):
    """And what its head says is what it says in the full pass."""
    torch.manual_seed(0)
    encoder = EncoderConfig(tiny_backbone, exit_row=kind).build(2).eval()
    ids, mask = torch.randint(1000, 2000, (3, 7)), torch.ones(3, 7, dtype=torch.long)
    expected = encoder(ids, mask).logits_EBC[read[0]]
    seen = []
    for exit_, head in enumerate(encoder.heads):
        head.classifier.register_forward_hook(lambda *_, exit_=exit_: seen.append(exit_))
    decisions = AdaptiveRuntime(encoder, Static(), threshold)(ids, mask)
    assert seen == read
    assert decisions.exit_layer_B.tolist() == [read[0] + 1] * 3
    torch.testing.assert_close(decisions.logits_BC, expected)


def test_decisions_carry_no_graph(tiny_backbone):
    encoder = EncoderConfig(tiny_backbone).build(2).eval()
    ids = torch.full((2, 5), 1000)
    assert not AdaptiveRuntime(encoder, Confidence(), 0.9)(ids, torch.ones_like(ids)).logits_BC.requires_grad


class Waits(TorchDispatchMode):
    """Counts operators whose result, or its size, the host has to wait for (`tolist` in `drop` is the one beside)."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        names = ("nonzero", "_local_scalar_dense", "masked_select", "is_nonzero", "item")
        by_bools = "index" in func.name() and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool
            for i in (args[1] if isinstance(args[1], list) else ())
        )
        self.count += by_bools or any(name in func.name() for name in names)
        return func(*args, **(kwargs or {}))


def test_the_host_waits_nowhere_but_in_drop():
    logits_EBC = leaving_at([2, 0, 3, 0, 1])
    runtime = AdaptiveRuntime(scripted(logits_EBC), Flag(), 0.5)
    inputs = numbers([3, 8, 2, 1, 5])
    with Waits() as waits:
        torch.ones(3)[torch.tensor([True, False, True])]
    assert waits.count > 0  # the counter counts
    with Waits() as waits:
        runtime(*inputs)
    assert waits.count == 0


@pytest.mark.parametrize(("criterion", "threshold"), [(Confidence(), 1.5), (Patience(), 0.5), (Static(), 0.0)])
def test_thresholds_out_of_range_are_refused(criterion, threshold):
    with pytest.raises(UserError, match=f"found {threshold}"):
        AdaptiveRuntime(scripted(torch.zeros(2, 1, 2)), criterion, threshold)


def test_criteria_over_classes_are_refused_for_regression():
    with pytest.raises(UserError, match=r"an exit criterion for regression; found confidence\. Use .*patience"):
        AdaptiveRuntime(scripted(torch.zeros(2, 1, 1)), Confidence(), 0.9)
    AdaptiveRuntime(scripted(torch.zeros(2, 1, 1)), Patience(), 1.0)
