"""Communication between processes: gathering with gradients to all of them, and averages of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed

from acl_lightning.outputs import ExitOutputs


class _Gather(torch.autograd.Function):
    # torch.distributed.nn has the same function, but it is deprecated, and with gloo its gradients are in a wrong order
    # unless they are contiguous.
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
    """Stack the tensors of all processes, which must have the same shape: (...) -> (world, ...).

    In the backward pass every process receives the sum over processes of the gradients with respect to its own tensor.
    If all processes compute the same loss from the gathered tensors, the mean over processes of the parameter gradients
    is therefore the gradient of a single process with the whole batch.
    """
    gathered: Tensor = _Gather.apply(tensor.contiguous())  # type: ignore[no-untyped-call]
    return gathered


def gather_outputs(outputs: ExitOutputs) -> ExitOutputs:
    """Gather the samples of all processes, (E, V B, ...) -> (E, V world B, ...), view by view.

    The label embeddings are the same on all processes and are not gathered. Every process then computes the loss of the
    whole batch, and the mean over ranks in the gradient step gives the gradient of a single process with that batch.
    """

    def gather_samples(tensor: Tensor) -> Tensor:
        ranks_WEVB = gather(tensor.reshape(len(tensor), outputs.views, -1, *tensor.shape[2:]))
        return ranks_WEVB.movedim(0, 2).flatten(1, 3)

    gates = None if outputs.gates_EB is None else gather_samples(outputs.gates_EB)
    return ExitOutputs(
        gather_samples(outputs.embeddings_EBD),
        gather_samples(outputs.logits_EBC),
        outputs.label_embeddings_ECD,
        gates,
        outputs.views,
    )


def gather_labels(labels_B: Tensor, views: int) -> Tensor:
    """Gather the labels of all processes in the order of `gather_outputs`: (V B,) -> (V world B,)."""
    return gather(labels_B.reshape(views, -1)).movedim(0, 1).flatten()


def mean_over_ranks(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Average a list of gradients over all processes, in a single collective. `None` stays `None`.

    The same entries must be `None` in every process, which holds because all of them run the same graph. Every process
    has the same weight, because `ShardedBatchSampler` gives all of them batches of equal size.
    """
    present = [gradient for gradient in gradients if gradient is not None]
    if not present:
        return list(gradients)
    flat = torch.cat([gradient.reshape(-1) for gradient in present])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    pieces = iter(torch.split(flat, [gradient.numel() for gradient in present]))
    return [None if gradient is None else next(pieces).view_as(gradient) for gradient in gradients]
