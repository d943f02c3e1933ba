"""Floating-point operations (FLOPs) of a sample that leaves at each exit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from acl_lightning.encoders.backbone import TokenState
from acl_lightning.encoders.multi_exit import MultiExitEncoder


def exit_flops(encoder: MultiExitEncoder, num_tokens: int, *, whole_layers: bool = False) -> tuple[float, ...]:
    """Return the FLOPs of one sample of `num_tokens` tokens that leaves at each exit, all exits before it evaluated.

    `AdaptiveRuntime` with a criterion computes all layers before the exit's layer, all exit rows and heads up to the
    exit, and the part of the exit's layer that its exit row needs. Only matrix products are counted, a multiplication
    with its addition as 2. The encoder is stepped under a counter, so the count is exact. See `static_exit_flops` for a
    static exit, which evaluates no earlier exit.

    Args:
        encoder: The encoder.
        num_tokens: Length of the sample, without padding.
        whole_layers: Whether a layer that has an exit is computed whole before the exit is read. The runtime does so
            for a pack of fewer than `ROW_FIRST_TOKENS` tokens, for example for one short sample in `latency` mode.
    """
    flops = []
    with flop_counter(encoder) as counter:
        state = _embedded(encoder, num_tokens)
        for layer in range(encoder.num_layers - 1):
            if encoder.has_exit(layer):
                _, half = encoder.exit_first(layer, state, whole=whole_layers)
                flops.append(float(counter.get_total_flops()))
                state = encoder.finish(half)
            else:
                state = encoder.backbone.layer(layer, state)
        encoder.advance(encoder.num_layers - 1, state)
        return (*flops, float(counter.get_total_flops()))


def static_exit_flops(encoder: MultiExitEncoder, num_tokens: int) -> tuple[float, ...]:
    """Return the FLOPs of one sample of `num_tokens` tokens that leaves at each exit, no other exit evaluated.

    `AdaptiveRuntime` with the criterion `Static` computes, in every mode, all layers before the exit's layer, and the
    part of that layer that the exit row needs. The value of an exit at the last layer of the backbone is
    `full_depth_flops`, so full depth as a static exit has a `flops_speedup` of 1.
    """
    flops = []
    with flop_counter(encoder) as counter:
        state = _embedded(encoder, num_tokens)
        layers = counter.get_total_flops()
        for layer in range(encoder.num_layers):
            before = counter.get_total_flops()
            if encoder.has_exit(layer):
                _read_exit(encoder, layer, state)
                flops.append(float(layers + counter.get_total_flops() - before))
            if layer + 1 < encoder.num_layers:
                before = counter.get_total_flops()
                state = encoder.backbone.layer(layer, state)
                layers += counter.get_total_flops() - before
    return tuple(flops)


def _read_exit(encoder: MultiExitEncoder, layer: int, state: TokenState) -> None:
    """Evaluate an exit after which no sample continues, as the runtime does."""
    if layer + 1 < encoder.num_layers:
        encoder.exit_first(layer, state)
    else:
        encoder.advance(layer, state)


def full_depth_flops(encoder: MultiExitEncoder, num_tokens: int) -> float:
    """Return the FLOPs of one sample of `num_tokens` tokens through all L layers and one head: ordinary fine-tuning.

    This is the reference of `flops_speedup`. Its last layer computes the exit row only, as the last layer of a
    multi-exit encoder does; a reference that computes more would make every speed-up larger. Layers above the deepest
    exit are included.
    """
    with flop_counter(encoder) as counter:
        state = _embedded(encoder, num_tokens)
        embedding = counter.get_total_flops()
        encoder.backbone.layer(0, state)
        layer = counter.get_total_flops() - embedding
        encoder.advance(encoder.num_layers - 1, state)
        last = counter.get_total_flops() - embedding - layer
    return float(embedding + (encoder.depth - 1) * layer + last)


@contextmanager
def flop_counter(encoder: MultiExitEncoder) -> Iterator[FlopCounterMode]:
    """Count the FLOPs of all operations in the context, in evaluation mode and without gradients.

    It works in inference mode too, where the counter fails on a parameter that is the input of a module (the relative
    positions of DeBERTa) and requires a gradient.
    """
    training = encoder.training
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    encoder.eval()
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        # Only the plain attention kernel consists of products that the counter registers on every device.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        encoder.train(training)


def _embedded(encoder: MultiExitEncoder, num_tokens: int) -> TokenState:
    device = next(encoder.parameters()).device
    # Accelerators keep a mask without padding; without the mask the count is the same on every device.
    return TokenState(encoder.embed(**encoder.backbone.example_inputs(num_tokens, device)).hidden_BSD, None)
