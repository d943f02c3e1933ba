"""A tensor of every process, through which gradients flow back to all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from acl_lightning.outputs import ExitOutputs


class _Gather(torch.autograd.Function):
    # torch.distributed.nn offers the same, but is deprecated and with gloo returns gradients in a wrong order unless
    # they are contiguous.
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, tensor)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        distributed.all_reduce(total)
        return total[distributed.get_rank()]


def gather(tensor: Tensor) -> Tensor:
    """Stack the tensors of all processes, which must be of one shape: (...) -> (world, ...).

    In the backward pass every process receives the sum over processes of the gradients with respect to its own part. So
    if each computes the same loss from the gathered tensors, its gradient is `world` times its part's contribution, and
    the mean over processes of the parameters' gradients is that of one process with the whole batch.
    """
    gathered: Tensor = _Gather.apply(tensor.contiguous())  # type: ignore[no-untyped-call]
    return gathered


def gather_outputs(outputs: ExitOutputs) -> ExitOutputs:
    """Samples of all processes, (E, B, ...) -> (E, world * B, ...); label embeddings are the same everywhere.

    Every process then computes the whole loss; with the mean over ranks that the gradient step takes, this is the exact
    gradient of one process with the whole batch.
    """

    def joined(tensor: Tensor) -> Tensor:
        return gather(tensor).transpose(0, 1).flatten(1, 2)

    gates = None if outputs.gates_EB is None else joined(outputs.gates_EB)
    return ExitOutputs(joined(outputs.embeddings_EBD), joined(outputs.logits_EBC), outputs.label_embeddings_ECD, gates)
