"""Gradients by repeated `backward()` calls, for strategies that average and shard gradients in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from acl_lightning.errors import UserError
from acl_lightning.gradients.collector import Collector, Row, refuse_unreached


class BackwardRows(Collector):
    """A call of `term.backward(retain_graph=True)` per term; `.grad` is read and cleared in between.

    For `fully_shard` (FSDP2): its hooks average the gradients over the processes and leave shards in `.grad`, while
    `autograd.grad` returns nothing. A term that reaches a sharded group of parameters has zeros, not `None`, at
    parameters of the group that it does not reach.
    """

    averages_ranks: ClassVar[bool] = True

    def rows(self, terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
        """Return the gradients of every term, see `Collector.rows`. Earlier contents of `.grad` are lost."""
        connected = [term.requires_grad for term in terms]
        rows: list[Row] = []
        for position, term in enumerate(terms):
            for parameter in parameters:
                parameter.grad = None
            if connected[position]:
                term.backward(retain_graph=any(connected[position + 1 :]))  # type: ignore[no-untyped-call]
            rows.append([parameter.grad for parameter in parameters])
        for parameter in parameters:
            parameter.grad = None
        refuse_unreached(rows)
        return rows

    def check(self, model: nn.Module, *, gathers: bool = False) -> None:
        """Raise `UserError` with DDP, whose reducer averages only the first backward pass."""
        super().check(model, gathers=gathers)
        if any(isinstance(module, DistributedDataParallel) for module in model.modules()):
            raise UserError(
                "a strategy that shards parameters for BackwardRows",
                "DDP, whose reducer would average only the first of several backward passes",
                "Set model.gradient_collector to AutogradRows.",
            )
