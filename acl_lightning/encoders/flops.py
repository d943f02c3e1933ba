"""What leaving at each exit costs in floating-point operations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from acl_lightning.encoders.backbone import TokenState
from acl_lightning.encoders.multi_exit import MultiExitEncoder


def exit_flops(encoder: MultiExitEncoder, num_tokens: int) -> tuple[float, ...]:
    """FLOPs for one sample of `num_tokens` tokens to leave at each exit.

    All layers before the exit's, all exit rows and heads on the way, and of the exit's own layer what its exit row
    needs: what `AdaptiveRuntime` computes. Matrix products alone are counted, a multiplication with its addition as 2.
    Counted while the encoder steps, so nothing is estimated.
    """
    flops = []
    with _counting(encoder) as counter:
        state = _embedded(encoder, num_tokens)
        for layer in range(encoder.num_layers - 1):
            if encoder.has_exit(layer):
                _, half = encoder.exit_first(layer, state)
                flops.append(float(counter.get_total_flops()))
                state = encoder.finish(half)
            else:
                state = encoder.backbone.layer(layer, state)
        encoder.advance(encoder.num_layers - 1, state)
        return (*flops, float(counter.get_total_flops()))


def full_depth_flops(encoder: MultiExitEncoder, num_tokens: int) -> float:
    """FLOPs of one sample of `num_tokens` tokens through all L layers and one head: ordinary fine-tuning.

    The reference of `flops_speedup`. Like our own last layer, the reference's last layer computes its exit row alone;
    a reference that computes more would flatter every speed-up. Layers above the deepest exit count as well.
    """
    with _counting(encoder) as counter:
        state = _embedded(encoder, num_tokens)
        embedding = counter.get_total_flops()
        encoder.backbone.layer(0, state)
        layer = counter.get_total_flops() - embedding
        encoder.advance(encoder.num_layers - 1, state)
        last = counter.get_total_flops() - embedding - layer
    return float(embedding + (encoder.depth - 1) * layer + last)


@contextmanager
def _counting(encoder: MultiExitEncoder) -> Iterator[FlopCounterMode]:
    training = encoder.training
    encoder.eval()
    try:
        # Of the attention kernels only the plain one is made of products that the counter sees on every device.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        encoder.train(training)


def _embedded(encoder: MultiExitEncoder, num_tokens: int) -> TokenState:
    device = next(encoder.parameters()).device
    ones = torch.ones(1, num_tokens, dtype=torch.long, device=device)
    # Accelerators keep a mask where nothing is padded; without it the count is the same on every device.
    return TokenState(encoder.embed(ones, ones).hidden_BSD, None)
