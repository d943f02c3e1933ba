"""Gradients by repeated backward passes, for strategies that reduce and shard in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from acl_lightning.errors import UserError
from acl_lightning.gradients.collect import Collector, Row, refuse_unreached


class BackwardRows(Collector):
    """`term.backward(retain_graph=True)` per term, reading and clearing `.grad` in between.

    For `fully_shard` (FSDP2): its hooks average the gradients over the ranks and leave shards in `.grad`, where
    `autograd.grad` would find nothing. A term that reaches a sharded group of parameters has zeros, not `None`, at the
    group's parameters that it does not reach.
    """

    averages_ranks: ClassVar[bool] = True

    def rows(self, terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
        """See `Collector.rows`. What `.grad` held before is lost."""
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
        """Raise `UserError` under DDP, whose reducer averages the first backward pass only."""
        super().check(model, gathers=gathers)
        if any(isinstance(module, DistributedDataParallel) for module in model.modules()):
            raise UserError(
                "a strategy that shards parameters for BackwardRows",
                "DDP, whose reducer would average the first of several backward passes only",
                "Set the gradient collector to AutogradRows.",
            )
