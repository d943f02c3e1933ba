"""Agreement of encoder, sweep and runtime on a GPU with each other and with the CPU.

The exit of a sample may differ only if its certainty is within `NEAR` of the threshold.
"""

import pytest
import torch

from acl_lightning.encoders import EXIT_ROWS, EncoderConfig
from acl_lightning.exits import FPABEE, PCEE, Calibrated, Confidence, Entropy, Margin, Patience, Static, exit_index
from acl_lightning.exits.inference import AdaptiveRuntime

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

#: Largest difference of logits and certainties between kernels, in float32; logits are of the order of 1.
NEAR = 1e-3
#: Largest difference of bfloat16 logits from float32, over their standard deviation.
BFLOAT16 = 0.2

LENGTHS = [9, 3, 14, 1, 9, 6, 14, 2] * 4
CRITERIA = [
    Confidence(), Entropy(), Margin(), Patience(), PCEE(0.8), FPABEE(0.02), Static(),
    Calibrated(Entropy(), (0.5, 1.0, 2.0)),
]  # fmt: skip


def encoder_on(where, backbone, kind="mean_row"):
    """An encoder with three exits whose heads have large logits."""
    torch.manual_seed(0)
    encoder = EncoderConfig(backbone, exit_row=kind).build(3).eval()
    for head in encoder.heads:
        head.classifier.weight.data.mul_(60)
    return encoder.to(where)


def inputs(where):
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(1000, 9000, mask.shape, generator=generator) * mask
    return {"input_ids": ids.to(where), "attention_mask": mask.to(where)}


def batches(where, size):
    whole = inputs(where)
    return [{name: rows[at : at + size] for name, rows in whole.items()} for at in range(0, len(LENGTHS), size)]


@torch.no_grad()
@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_logits_equal_those_of_the_cpu(kind, device, tiny_backbone):
    logits_EBC = encoder_on(device, tiny_backbone, kind)(**inputs(device)).logits_EBC.cpu()
    expected = encoder_on("cpu", tiny_backbone, kind)(**inputs("cpu")).logits_EBC
    torch.testing.assert_close(logits_EBC, expected, rtol=0, atol=NEAR)


@torch.no_grad()
@pytest.mark.parametrize("mode", ["latency", "batch", "throughput"])
@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.name)
def test_sweep_and_runtime_agree_sample_by_sample(criterion, mode, device, tiny_backbone):
    """Compare the runtime on the device with the sweep over logits of the device and of the CPU."""
    encoder = encoder_on(device, tiny_backbone)
    sources = {
        "device": encoder(**inputs(device)).logits_EBC,
        "CPU": encoder_on("cpu", tiny_backbone)(**inputs("cpu")).logits_EBC,
    }
    left = set()
    grid = criterion.thresholds(3)
    for threshold in grid[:: max(1, len(grid) // 9)]:
        decisions = list(AdaptiveRuntime(encoder, criterion, threshold).stream(batches(device, 8), mode))
        exit_B = torch.cat([batch.exit_B for batch in decisions]).cpu()
        logits_BC = torch.cat([batch.logits_BC for batch in decisions]).cpu()
        left |= set(exit_B.tolist())
        for name, logits_EBC in sources.items():
            certainty_EB = criterion.certainty(criterion.inputs(logits_EBC, None)).cpu()
            expected_B = exit_index(certainty_EB, torch.tensor([threshold], dtype=torch.float64))[0]
            clear_B = clear(criterion, logits_EBC.cpu(), certainty_EB, threshold)
            assert clear_B.float().mean() > 0.5, name
            assert torch.equal(exit_B[clear_B], expected_B[clear_B]), (name, threshold)
            answers_BC = logits_EBC.cpu()[exit_B, torch.arange(len(exit_B))]
            torch.testing.assert_close(logits_BC, answers_BC, rtol=0, atol=NEAR)
    assert len(left) > 1


def clear(criterion, logits_EBC, certainty_EB, threshold):
    """Samples whose exit does not depend on differences below `NEAR`.

    Criteria that count exits make a decision per exit: the samples whose decisions change with the bound, or whose two
    best classes are as close, are left out.
    """
    if isinstance(criterion, Static):
        return torch.ones(logits_EBC.shape[1], dtype=torch.bool)
    if isinstance(criterion, Patience):
        best = logits_EBC.topk(2, dim=-1).values
        return ((best[..., 0] - best[..., 1]) > NEAR).all(dim=0)
    if isinstance(criterion, PCEE | FPABEE):
        shifted = [type(criterion)(criterion.bound + shift).certainty(logits_EBC) for shift in (-NEAR, NEAR)]
        return torch.stack([(other == certainty_EB).all(dim=0) for other in shifted]).all(dim=0)
    return (certainty_EB - threshold).abs().amin(dim=0) > NEAR


@torch.no_grad()
def test_bfloat16_logits_are_close_to_float32(device, tiny_backbone):
    encoder = encoder_on(device, tiny_backbone)
    whole = AdaptiveRuntime(encoder, Static(), 3.0)(**inputs(device)).logits_BC
    logits_BC = AdaptiveRuntime(encoder, Static(), 3.0, dtype=torch.bfloat16)(**inputs(device)).logits_BC
    assert logits_BC.dtype == torch.float32
    assert (logits_BC - whole).abs().max() < BFLOAT16 * whole.std()


def test_an_empty_batch_and_a_single_token_are_accepted(device, tiny_backbone):
    runtime = AdaptiveRuntime(encoder_on(device, tiny_backbone), Confidence(), 0.9)
    empty = {name: rows[:0] for name, rows in inputs(device).items()}
    assert runtime(**empty).logits_BC.shape == (0, 3)
    token = {name: rows[3:4, :1] for name, rows in inputs(device).items()}
    assert runtime(**token).exit_B.shape == (1,)
