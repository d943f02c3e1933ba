"""100,000 random cases: every criterion, over thresholds and in the runtime, against the published counter loops."""

from __future__ import annotations

import math

import pytest
import torch
from oracles import (
    confidence_exit,
    entropy_exit,
    fpabee_exit,
    gate_exit,
    margin_exit,
    patience_exit,
    pcee_exit,
)
from scripted_encoder import numbers, written

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
from acl_lightning.exits.inference import AdaptiveRuntime

EXITS = 6
SAMPLES = 2500  # by 40 pairs of criterion and threshold: 100,000

LN3 = math.log(3)
PATIENCE = (1, 2, 3, 4)
CASES = [
    *[(Confidence(), share, lambda one, _, t=share: confidence_exit(one, t)) for share in (0.4, 0.55, 0.7, 0.8, 0.95)],
    *[
        (Entropy(), share, lambda one, _, t=share: entropy_exit(one, (1 - t) * math.log(3)))
        for share in (0.1, 0.4, 0.8)
    ],
    *[(Margin(), share, lambda one, _, t=share: margin_exit(one, t)) for share in (0.05, 0.2, 0.5, 0.8, 0.97)],
    *[(Patience(), p, lambda one, _, p=p: patience_exit(one, p)) for p in PATIENCE],
    *[(PCEE(b), p, lambda one, _, p=p, b=b: pcee_exit(one, p, b)) for p in (*PATIENCE, 5) for b in (0.2, 0.6)],
    *[(FPABEE(b), p, lambda one, _, p=p, b=b: fpabee_exit(one, p, b)) for p in PATIENCE for b in (0.02, 0.3)],
    *[(LearntGate(), share, lambda _, gates, t=share: gate_exit(gates, t)) for share in (0.1, 0.5, 0.9)],
    *[(Static(), k, lambda one, _, k=k: k - 1) for k in (1, 4)],
]


def test_the_cases_are_a_hundred_thousand():
    assert len(CASES) * SAMPLES == 100_000


@pytest.mark.parametrize(
    ("number", "criterion", "threshold", "loop"),
    [(number, *case) for number, case in enumerate(CASES)],
    ids=[f"{one.name}-{'-'.join(map(str, one.settings.values()))}-{threshold}" for one, threshold, _ in CASES],
)
def test_sweep_and_runtime_leave_where_the_published_loop_does(number, criterion, threshold, loop):
    generator = torch.Generator().manual_seed(number)
    logits_EBC = 2 * torch.randn(EXITS, SAMPLES, 3, generator=generator)
    logits_EBC[:, ::5] = logits_EBC[:, ::5].round()  # ties
    logits_EBC[1:, 1::5] = logits_EBC[:1, 1::5]  # exits that all say the same
    gates_EB = 3 * torch.randn(EXITS, SAMPLES, generator=generator)
    samples = zip(logits_EBC.transpose(0, 1).tolist(), gates_EB.T.tolist(), strict=True)
    expected = torch.tensor([loop(*sample) for sample in samples])
    certainty_EB = criterion.certainty(criterion.inputs(logits_EBC, gates_EB))
    assert torch.equal(exit_index(certainty_EB, torch.tensor([threshold]))[0], expected)
    runtime = AdaptiveRuntime(written(logits_EBC, gates_EB), criterion, threshold)
    decisions = runtime(*numbers(SAMPLES))
    assert torch.equal(decisions.exit_B, expected)
    assert torch.equal(decisions.logits_BC, logits_EBC[expected, torch.arange(SAMPLES)])
    assert len(expected.unique()) > 1 or isinstance(criterion, Static)
