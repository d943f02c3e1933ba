"""How the gradients of K terms are obtained from one forward pass: the contract, and the default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor

from acl_lightning.errors import UserError

Row = list[Tensor | None]


class Collector(ABC):
    """From K scalar terms over one graph to K gradient rows. A collector that would return silent zeros raises."""

    #: Whether rows come averaged over the processes, because the strategy does so in its backward pass.
    averages_ranks: ClassVar[bool] = False

    @abstractmethod
    def rows(self, terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
        """The gradients of every term; the graph is freed.

        Args:
            terms: K scalars.
            parameters: N tensors that require a gradient.

        Returns:
            K rows; `None` where a term does not reach a parameter. No two gradients share memory, so that each may be
            changed in place.
        """

    def check(self, model: nn.Module, *, gathers: bool = False) -> None:
        """Refuse what this collector would be wrong for.

        Args:
            model: the model, as the strategy has wrapped it.
            gathers: whether terms are computed over the samples of several processes.

        Raises:
            UserError: the strategy or the gathering would give wrong gradients, or none.
        """
        if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
            raise UserError(
                "parameters of their own", "FullyShardedDataParallel, which flattens them",
                "Set trainer.strategy to ddp; or shard with fully_shard and collect with BackwardRows.",
            )  # fmt: skip


class AutogradRows(Collector):
    """One `autograd.grad` call per term over a shared graph. The default: one device and DDP.

    DDP's reducer never sees these calls, so the gradient step takes the mean over ranks itself.
    """

    def rows(self, terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
        """See `autograd_rows`."""
        return autograd_rows(terms, parameters)

    def check(self, model: nn.Module, *, gathers: bool = False) -> None:
        """Raise `UserError` where a strategy shards the parameters."""
        super().check(model, gathers=gathers)
        refuse_sharded(list(model.parameters()), type(self).__name__)


def autograd_rows(terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
    """One `autograd.grad` call per term over a shared graph; the graph is freed by the last.

    Args:
        terms: K scalars.
        parameters: N tensors that require a gradient.

    Returns:
        K rows, as `Collector.rows` promises them.

    Raises:
        UserError: the parameters are sharded (`DTensor`): `autograd.grad` would find no gradient for them, and silent
            zeros would look like training.
        RuntimeError: the terms together reach no parameter at all.
    """
    refuse_sharded(parameters, "AutogradRows")
    connected = [term.requires_grad for term in terms]
    rows: list[Row] = []
    for position, term in enumerate(terms):
        if not connected[position]:
            rows.append([None] * len(parameters))
            continue
        keep_graph = any(connected[position + 1 :])
        gradients = torch.autograd.grad(term, parameters, retain_graph=keep_graph, allow_unused=True)
        rows.append(list(gradients))
    refuse_unreached(rows)
    return with_own_memory(rows)


def refuse_sharded(parameters: Sequence[nn.Parameter], name: str) -> None:
    """Raise `UserError` if a parameter is a `DTensor`, in the name of a collector that cannot see its gradient."""
    if any(isinstance(parameter, DTensor) for parameter in parameters):
        raise UserError(
            f"whole parameters for {name}", "sharded ones, whose gradients autograd.grad does not see",
            "Set the gradient collector to BackwardRows.",
        )  # fmt: skip


def refuse_unreached(rows: Sequence[Row]) -> None:
    """Raise `RuntimeError` if there is no gradient at all."""
    if all(gradient is None for row in rows for gradient in row):
        raise RuntimeError(
            "expected gradients for the model's parameters; found none for any term. Some strategies hide the "
            "parameters from autograd; use one device or DDP."
        )


def with_own_memory(rows: list[Row]) -> list[Row]:
    """Clone gradients that share memory, as autograd hands out one tensor for both sides of a sum, or expands one."""
    seen: set[tuple[int, int]] = set()

    def own(gradient: Tensor | None) -> Tensor | None:
        if gradient is None:
            return None
        place = (gradient.data_ptr(), gradient.numel())
        dense = 0 not in gradient.stride() or gradient.numel() <= 1
        if dense and place not in seen:
            seen.add(place)
            return gradient
        return gradient.clone(memory_format=torch.contiguous_format)

    return [[own(gradient) for gradient in row] for row in rows]


def mean_over_ranks(row: Row) -> Row:
    """Average a gradient row over all processes, in one collective per row.

    Every process must reach the same parameters, which holds because all run the same graph. Every process counts
    alike, because `ShardedBatchSampler` gives all of them batches of equal sizes.
    """
    reached = [gradient for gradient in row if gradient is not None]
    if not reached:
        return row
    flat = torch.cat([gradient.reshape(-1) for gradient in reached])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    pieces = iter(torch.split(flat, [gradient.numel() for gradient in reached]))
    return [None if gradient is None else next(pieces).view_as(gradient) for gradient in row]
