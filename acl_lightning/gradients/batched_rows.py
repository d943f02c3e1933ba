"""Gradients of all terms in a single vectorised backward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acl_lightning.errors import UserError
from acl_lightning.gradients.collector import AutogradRows, Row, refuse_sharded, refuse_unreached


class BatchedRows(AutogradRows):
    """A single `autograd.grad` call with `is_grads_batched=True`: every kernel of the backward pass runs once.

    Useful on a GPU whose speed is limited by kernel launches. On a CPU it is slower than a pass per term (MiniLM,
    32 x 128 tokens, two terms, 2 cores: 2.1 s instead of 1.3 s). Needs the memory of K backward passes at the same
    time. Where the gradient of a term is not finite, zero times infinity makes those of the others NaN too, and the
    step is skipped.
    """

    def check(self, model: nn.Module, *, gathers: bool = False) -> None:
        """Raise `UserError` if terms are computed over several processes: a collective cannot be vectorised."""
        super().check(model, gathers=gathers)
        if gathers:
            raise UserError(
                "losses over the samples of a single process for BatchedRows",
                "model.global_pool = true",
                "Set model.global_pool to false, or model.gradient_collector to AutogradRows.",
            )

    def rows(self, terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
        """Return the gradients of every term, see `Collector.rows`.

        Raises:
            UserError: An operation of the graph cannot be vectorised, such as gradient checkpointing with dropout,
                which draws random numbers again.
        """
        refuse_sharded(parameters, "BatchedRows")
        connected = [term for term in terms if term.requires_grad]
        if not connected:
            refuse_unreached([[None] * len(parameters)])
        stacked_K = torch.stack(connected)
        basis_KK = torch.eye(len(connected), dtype=stacked_K.dtype, device=stacked_K.device)
        reached = iter([_leaves(term) for term in connected])
        try:
            gradients = torch.autograd.grad(
                stacked_K, parameters, grad_outputs=basis_KK, is_grads_batched=True, allow_unused=True
            )
        except RuntimeError as error:
            raise UserError(
                "a graph that BatchedRows can vectorise", str(error).strip().splitlines()[0][:200],
                "Set model.gradient_collector to AutogradRows, which gradient_checkpointing needs.",
            ) from error  # fmt: skip
        unbound = iter(zip(*(_rows_of(gradient, len(connected)) for gradient in gradients), strict=True))
        rows: list[Row] = []
        for term in terms:
            if not term.requires_grad:
                rows.append([None] * len(parameters))
                continue
            leaves = next(reached)
            row = zip(next(unbound), parameters, strict=True)
            rows.append([gradient if id(parameter) in leaves else None for gradient, parameter in row])
        refuse_unreached(rows)
        return rows


def _rows_of(gradient_K: Tensor | None, count: int) -> Sequence[Tensor | None]:
    return [None] * count if gradient_K is None else gradient_K.contiguous().unbind()


def _leaves(term: Tensor) -> set[int]:
    """Return the ids of the leaves behind a term: a batched gradient has zeros where a row must have `None`."""
    leaves: set[int] = set()
    waiting, seen = [term.grad_fn], {term.grad_fn}
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            leaves.add(id(leaf))
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return leaves
