"""A threshold equal to a certainty decides in the runtime as it does in the sweep, whatever the criterion."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_encoder import numbers, written
from tiny_models import batch, tiny

from acl_lightning.encoders import BertFamily, ClsRow, ExitHead, MultiExitEncoder
from acl_lightning.exits import (
    FPABEE,
    PCEE,
    Calibrated,
    Confidence,
    Ensembled,
    Entropy,
    LearntGate,
    Margin,
    Patience,
    PrototypeMargin,
    Static,
    criterion_names,
    exit_index,
)
from acl_lightning.exits.inference import AdaptiveRuntime

CRITERIA = [Static(), Confidence(), Entropy(), Margin(), Patience(), PCEE(), FPABEE(), LearntGate(), PrototypeMargin()]
CALIBRATED = [
    Calibrated(one, (0.7, 1.0, 1.9, 0.4))
    for one in (Confidence(), Entropy(), Margin(), PCEE(), LearntGate(), PrototypeMargin())
]
WEIGHTS = ((1.0,), (0.3, 0.7), (0.0, 0.0, 1.0), (0.2, 0.1, 0.4, 0.3))
ENSEMBLED = [Ensembled(one, WEIGHTS) for one in (*CRITERIA, Calibrated(Entropy(), (0.7, 1.0, 1.9, 0.4)))]


def test_every_criterion_of_the_package_is_among_them():
    assert {one.name for one in CRITERIA} == {*criterion_names()} - {Calibrated.name, Ensembled.name}


@pytest.mark.parametrize("criterion", [*CRITERIA, *CALIBRATED, *ENSEMBLED], ids=lambda one: one.name)
@settings(max_examples=6)
@given(st.sampled_from([2, 3, 9, 17]), st.sampled_from([1, 5, 17, 40]), st.integers(0, 2**16))
def test_the_runtime_leaves_where_the_sweep_does(criterion, classes, samples, seed):
    generator = torch.Generator().manual_seed(seed)
    logits_EBC = 3 * torch.randn(4, samples, classes, generator=generator)
    gates_EB = 2 * torch.randn(4, samples, generator=generator)
    cosines_EBC = 2 * torch.rand(4, samples, classes, generator=generator) - 1
    certainty_EB = criterion.certainty(criterion.inputs(logits_EBC, gates_EB, cosines_EBC))
    answers_EBC = criterion.answers(logits_EBC)
    encoder, (ids, mask) = written(logits_EBC, gates_EB, cosines_EBC), numbers(samples)
    reached = certainty_EB[:-1].flatten()
    if any(name in criterion.name for name in ("patience", "pcee", "fpabee")):
        reached = reached[reached >= 1]  # a patience of 0 is no threshold
    for threshold in reached[torch.randperm(len(reached), generator=generator)[:4]].tolist():
        expected_B = exit_index(certainty_EB, torch.tensor([threshold], dtype=torch.float64))[0]
        for mode in ("batch", "latency"):
            stream = AdaptiveRuntime(encoder, criterion, threshold).stream(
                [{"input_ids": ids, "attention_mask": mask}], mode
            )
            decisions = list(stream)
            found_B = torch.cat([part.exit_B for part in decisions])
            assert torch.equal(found_B, expected_B), (mode, threshold)
            expected_BC = answers_EBC[expected_B, torch.arange(samples)]
            torch.testing.assert_close(torch.cat([part.logits_BC for part in decisions]), expected_BC, rtol=0, atol=0)


@pytest.mark.parametrize("samples", [1, 7, 32, 129])
def test_a_gates_certainty_does_not_depend_on_the_position_in_the_batch(samples):
    gates_EB = 4 * torch.randn(6, samples, generator=torch.Generator().manual_seed(samples))
    together_EB = LearntGate().certainty(gates_EB)
    alone_EB = torch.stack([torch.stack([LearntGate().certainty(g.view(1, 1))[0, 0] for g in row]) for row in gates_EB])
    assert torch.equal(together_EB, alone_EB)
    torch.testing.assert_close(together_EB, gates_EB.sigmoid())


def test_a_forward_pass_asks_the_gate_exit_by_exit_as_the_runtime_does():
    """One product over all exits rounds differently from one product per exit."""
    heads = [ExitHead(24, 3, pooler=False, pretrained_pooler=None, dropout=0.0) for _ in range(4)]
    encoder = MultiExitEncoder(BertFamily(tiny("bert")), (1, 2, 3, 4), [ClsRow(24)] * 4, heads, learnt_gate=True).eval()
    shapes = []
    encoder.gate.register_forward_hook(lambda _, inputs, __: shapes.append(tuple(inputs[0].shape)))
    outputs = encoder(**batch([12] * 13))
    assert shapes == [(13, 24)] * 4
    torch.testing.assert_close(outputs.gates_EB, encoder.gates(outputs.embeddings_EBD))


@torch.no_grad()
@pytest.mark.parametrize("separate", [False, True])
def test_a_real_encoder_leaves_where_its_cosines_say(separate):
    torch.manual_seed(0)
    heads = [ExitHead(24, 3, pooler=False, pretrained_pooler=None, dropout=0.0) for _ in range(4)]
    encoder = MultiExitEncoder(
        BertFamily(tiny("bert")), (1, 2, 3, 4), [ClsRow(24)] * 4, heads, separate_label_embeddings=separate
    ).eval()
    inputs = batch([12, 5, 9, 3, 7])
    outputs = encoder(**inputs)
    cosines_EBC = torch.nn.functional.cosine_similarity(
        outputs.embeddings_EBD[:, :, None].double(), outputs.label_embeddings_ECD[:, None].double(), dim=-1
    )
    torch.testing.assert_close(outputs.cosines_EBC(), cosines_EBC.float())
    tied = torch.equal(outputs.label_embeddings_ECD[0], heads[0].classifier.weight)
    assert tied != separate
    criterion = PrototypeMargin(1.0)
    certainty_EB = criterion.certainty(criterion.inputs(outputs.logits_EBC, None, outputs.cosines_EBC()))
    values = certainty_EB[:-1].flatten().sort().values
    for threshold in ((values[1:] + values[:-1]) / 2)[::3].tolist():
        expected_B = exit_index(certainty_EB, torch.tensor([threshold], dtype=torch.float64))[0]
        for tokens in (0, 10**6):  # the exit row first, and layers at once
            decisions = AdaptiveRuntime(encoder, criterion, threshold, row_first_tokens=tokens)(**inputs)
            decided = (certainty_EB - threshold).abs().amin(dim=0) > 1e-6
            assert torch.equal(decisions.exit_B[decided], expected_B[decided])
