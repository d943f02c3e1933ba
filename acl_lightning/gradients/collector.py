"""Collectors of the gradients of K terms after a shared forward pass: base class and default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor

from acl_lightning.errors import UserError

#: Gradients of a term at N parameters; `None` where the term does not reach the parameter.
Row = list[Tensor | None]


class Collector(ABC):
    """Computation of K gradient rows from K scalar terms on a shared graph.

    A collector raises where it would silently return zeros.
    """

    #: Whether rows are averaged over the processes already, because the strategy does so in its backward pass.
    averages_ranks: ClassVar[bool] = False

    @abstractmethod
    def rows(self, terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
        """Return the gradients of every term, and free the graph.

        Args:
            terms: K scalar losses.
            parameters: N tensors that require a gradient.

        Returns:
            K rows. No two gradients share memory, so that each may be changed in place.
        """

    def check(self, model: nn.Module, *, gathers: bool = False) -> None:
        """Refuse strategies and settings with which this collector would return wrong gradients.

        Args:
            model: The model as the strategy has wrapped it.
            gathers: Whether the terms are computed over the samples of several processes.

        Raises:
            UserError: The strategy or the gathering would give wrong gradients, or none.
        """
        if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
            raise UserError(
                "unflattened parameters", "FullyShardedDataParallel, which flattens them",
                "Set trainer.strategy to ddp, or use fully_shard and set model.gradient_collector to BackwardRows.",
            )  # fmt: skip


class AutogradRows(Collector):
    """An `autograd.grad` call per term on a shared graph. The default, for a single device and for DDP.

    DDP's reducer is not involved in these calls, so `GradientStep` averages over the processes itself.
    """

    def rows(self, terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
        """See `autograd_rows`."""
        return autograd_rows(terms, parameters)

    def check(self, model: nn.Module, *, gathers: bool = False) -> None:
        """Raise `UserError` if the strategy shards the parameters."""
        super().check(model, gathers=gathers)
        refuse_sharded(list(model.parameters()), type(self).__name__)


def autograd_rows(terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
    """Call `autograd.grad` per term on a shared graph; the last call frees the graph.

    Args:
        terms: K scalar losses.
        parameters: N tensors that require a gradient.

    Returns:
        K rows, see `Collector.rows`.

    Raises:
        UserError: The parameters are sharded (`DTensor`): `autograd.grad` would return no gradient for them, and zeros
            would be taken for gradients.
        RuntimeError: No term reaches any parameter.
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
    """Raise `UserError` for the collector `name` if a parameter is a `DTensor`."""
    if any(isinstance(parameter, DTensor) for parameter in parameters):
        raise UserError(
            f"unsharded parameters for {name}", "sharded parameters, whose gradients autograd.grad does not return",
            "Set model.gradient_collector to BackwardRows.",
        )  # fmt: skip


def refuse_unreached(rows: Sequence[Row]) -> None:
    """Raise `RuntimeError` if all gradients are `None`."""
    if all(gradient is None for row in rows for gradient in row):
        raise RuntimeError(
            "expected gradients for the model's parameters; found none for any term. Some strategies hide the "
            "parameters from autograd: use a single device or DDP."
        )


def with_own_memory(rows: list[Row]) -> list[Row]:
    """Clone gradients that share memory: autograd returns the same tensor for both sides of a sum, or expands it."""
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
