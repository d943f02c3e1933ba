"""The FLOPs of sweeps and of `latency` are those that `torch.utils.flop_counter` sees in the adaptive runtime."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from acl_lightning.encoders import (
    EXIT_ROWS,
    BertFamily,
    ExitHead,
    MultiExitEncoder,
    exit_flops,
    full_depth_flops,
    static_exit_flops,
)
from acl_lightning.exits import Confidence, Criterion, ExitCosts, Static, sweep
from acl_lightning.exits.inference import MODES, ROW_FIRST_TOKENS, AdaptiveRuntime

WIDTH, LABELS, EXITS = 24, 3, (1, 3, 4)
SHORT = 16


class ReadAll(Criterion):
    """Every exit is evaluated, and all samples leave at the exit whose number is the threshold."""

    name = "read_all"

    def certainty(self, logits_EBC):
        return Static().certainty(logits_EBC)

    def thresholds(self, num_exits):
        return Static().thresholds(num_exits)

    def check_threshold(self, threshold):
        pass


def encoder_of(kind: str, exits=EXITS, gate: bool = False) -> MultiExitEncoder:
    heads = [ExitHead(WIDTH, LABELS, pooler=True, pretrained_pooler=None, dropout=0.1) for _ in exits]
    backbone = BertFamily(tiny("bert", max_position_embeddings=140))
    rows = [EXIT_ROWS[kind](WIDTH) for _ in exits]
    return MultiExitEncoder(backbone, exits, rows, heads, learnt_gate=gate).eval()


def counted(encoder: MultiExitEncoder, criterion: Criterion, threshold: float, mode: str, samples: int, tokens: int):
    """FLOPs per sample of `samples` samples of `tokens` tokens, all of which leave at one exit."""
    runtime = AdaptiveRuntime(encoder, criterion, threshold)
    ids = torch.full((samples, tokens), 7)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        assert len(list(runtime.stream([batch], mode))) == 1
    return counter.get_total_flops() / samples


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("kind", EXIT_ROWS)
@pytest.mark.parametrize("mode", MODES)
def test_counts_are_those_of_the_runtime_in_every_mode(kind, mode, gate):
    encoder = encoder_of(kind, gate=gate)
    for number in range(1, len(EXITS) + 1):
        static = counted(encoder, Static(), number, mode, 32, SHORT)
        assert static == static_exit_flops(encoder, SHORT)[number - 1]
        adaptive = counted(encoder, ReadAll(), number, mode, 32, SHORT)
        whole = mode == "latency"  # one sample of 16 tokens; the batch of 32 has 512
        assert adaptive == exit_flops(encoder, SHORT, whole_layers=whole)[number - 1]


def test_one_long_sample_is_computed_row_first():
    encoder = encoder_of("mean_row")
    assert counted(encoder, ReadAll(), 2, "latency", 1, ROW_FIRST_TOKENS) == exit_flops(encoder, ROW_FIRST_TOKENS)[1]


def test_whole_layers_cost_more_where_the_row_could_have_come_first():
    encoder = encoder_of("mean_row")
    assert exit_flops(encoder, SHORT, whole_layers=True)[0] > 2 * exit_flops(encoder, SHORT)[0]
    pooled = encoder_of("mean_pool")  # needs the whole layer in any case
    assert exit_flops(pooled, SHORT, whole_layers=True) == exit_flops(pooled, SHORT)


@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_static_full_depth_is_the_plain_model_and_never_dearer_than_the_criterion(kind):
    encoder = encoder_of(kind)
    static, adaptive = static_exit_flops(encoder, SHORT), exit_flops(encoder, SHORT)
    assert static[-1] == full_depth_flops(encoder, SHORT)
    assert static[0] == adaptive[0]
    assert all(alone < after for alone, after in zip(static[1:], adaptive[1:], strict=True))


def test_a_sweep_charges_static_exits_for_their_own_head_alone():
    costs = ExitCosts((1, 2), 2, (10.0, 24.0), 20.0, static_flops_E=(10.0, 20.0))
    logits_EBC = torch.tensor([[[0.0, 1.0]] * 4, [[0.0, 9.0]] * 4])
    labels_B, selection_B = torch.ones(4, dtype=torch.long), torch.tensor([True, False] * 2)
    points = sweep(logits_EBC, labels_B, [Confidence()], quality=lambda *_: 1.0, selection_B=selection_B, costs=costs)
    assert [(one.flops_speedup, one.flops_speedup_selection) for one in points[:2]] == [(2.0, 2.0), (1.0, 1.0)]
    never = points[-1]
    assert (never.criterion_name, never.threshold) == ("confidence", 1.0)
    assert never.flops_speedup == pytest.approx(20 / 24)  # it reads the first exit's head in vain
