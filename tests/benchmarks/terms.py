"""Time of the contrastive terms at 12 exits, relative to a CE step of a model of the size of BERT-base.

Run by `make bench`. The step is measured with random weights on a batch of 32 x 128 tokens. For the terms at batch 256
its time is multiplied by eight, because it is proportional to the number of samples.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from acl_lightning.encoders import BertFamily, ExitHead, MeanRow, MultiExitEncoder
from acl_lightning.gradients import GradientStep, Sum
from acl_lightning.objectives import (
    ACF,
    ACLCrossLayer,
    ACLEmbed,
    Objective,
    SelfDistillation,
    SupervisedContrastive,
    WeightedObjective,
)
from acl_lightning.outputs import ExitOutputs
from acl_lightning.training.allocator import keep_freed_memory
from acl_lightning.training.optimization import OptimizationConfig, build_optimizer
from tests.benchmarks.rules import seconds

EXITS, WIDTH, CLASSES = 12, 768, 2
BATCH, TOKENS = 32, 128


def base_step() -> float:
    """Seconds of a CE step of a model of the size of BERT-base with an exit at every layer."""
    heads = [ExitHead(WIDTH, CLASSES, pooler=True, pretrained_pooler=None, dropout=0.1) for _ in range(EXITS)]
    rows = [MeanRow(WIDTH) for _ in range(EXITS)]
    encoder = MultiExitEncoder(BertFamily(BertModel(BertConfig())), tuple(range(1, EXITS + 1)), rows, heads).train()
    optimizer, _ = build_optimizer(encoder.named_parameters(), OptimizationConfig(), 1000, fused=True)
    step, objective = GradientStep(Sum(), encoder.named_parameters()), WeightedObjective()
    ids, mask = torch.randint(1000, 30000, (BATCH, TOKENS)), torch.ones(BATCH, TOKENS, dtype=torch.long)
    labels = torch.randint(CLASSES, (BATCH,))

    def whole() -> None:
        step.add(list(objective(encoder(ids, mask), labels).values()))
        step.finish()
        optimizer.step()
        optimizer.zero_grad()

    return seconds(whole, 3)


def cost(objective: Objective, batch: int) -> float:
    """Seconds of the forward and backward pass of an objective, without the encoder."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(EXITS, batch, WIDTH, generator=generator, requires_grad=True)
    w = torch.randn(EXITS, CLASSES, WIDTH, generator=generator, requires_grad=True)
    y: Tensor = torch.randint(CLASSES, (batch,), generator=generator)
    outputs = ExitOutputs(h, h @ w.transpose(1, 2), w)

    def both() -> None:
        total = torch.stack(list(objective(outputs, y).values())).sum()
        torch.autograd.grad(total, [h, w], retain_graph=True)

    return seconds(both, 10)


def main() -> None:
    """Print the table."""
    keep_freed_memory()
    torch.manual_seed(0)
    base = base_step()
    print(
        f"\nshare of a BERT-base-sized CE step ({base:.2f} s at {BATCH} x {TOKENS}, {torch.get_num_threads()} threads)"
    )
    terms = (SupervisedContrastive(), ACLEmbed(), ACLCrossLayer(), ACF(), SelfDistillation())
    for batch in (32, 256):
        plain = cost(WeightedObjective(), batch)
        for term in terms:
            share = (cost(WeightedObjective(term), batch) - plain) / (base * batch / BATCH)
            print(f"  {term.name:22} batch {batch:3}   {100 * share:5.2f} %   at most 3 %")


if __name__ == "__main__":
    main()
