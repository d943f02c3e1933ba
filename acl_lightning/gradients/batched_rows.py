"""Gradients of all terms in one vectorised backward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acl_lightning.errors import UserError
from acl_lightning.gradients.collect import AutogradRows, Row, refuse_sharded, refuse_unreached


class BatchedRows(AutogradRows):
    """One `autograd.grad` call with `is_grads_batched=True`: every kernel of the backward pass runs once for K terms.

    For a GPU that waits for kernel launches. On a CPU it is slower than a pass per term (MiniLM, 32 x 128 tokens, two
    terms, 2 cores: 2.1 s against 1.3 s). Needs the memory of K backward passes at once. Where one term's gradient is
    not finite, zeros times infinities spoil those of the others too, and the step is skipped.
    """

    def check(self, model: nn.Module, *, gathers: bool = False) -> None:
        """Raise `UserError` where terms are computed over several processes: a collective cannot be vectorised."""
        super().check(model, gathers=gathers)
        if gathers:
            raise UserError(
                "a pool of its own in every process for BatchedRows",
                "a global pool",
                "Set model.global_pool to false, or the gradient collector to AutogradRows.",
            )

    def rows(self, terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
        """See `Collector.rows`.

        Raises:
            UserError: an operation of the graph cannot be vectorised: gradient checkpointing with dropout, which would
                draw random numbers again, cannot.
        """
        refuse_sharded(parameters, "BatchedRows")
        connected = [term for term in terms if term.requires_grad]
        if not connected:
            refuse_unreached([[None] * len(parameters)])
        stacked_K = torch.stack(connected)
        basis_KK = torch.eye(len(connected), dtype=stacked_K.dtype, device=stacked_K.device)
        reached = iter([_reached(term) for term in connected])
        try:
            gradients = torch.autograd.grad(
                stacked_K, parameters, grad_outputs=basis_KK, is_grads_batched=True, allow_unused=True
            )
        except RuntimeError as error:
            raise UserError(
                "a graph that BatchedRows can vectorise", str(error).strip().splitlines()[0][:200],
                "Set the gradient collector to AutogradRows; gradient_checkpointing needs it.",
            ) from error  # fmt: skip
        unbound = iter(zip(*(_rows_of(gradient, len(connected)) for gradient in gradients), strict=True))
        rows: list[Row] = []
        for term in terms:
            if not term.requires_grad:
                rows.append([None] * len(parameters))
                continue
            mine = next(reached)
            row = zip(next(unbound), parameters, strict=True)
            rows.append([gradient if id(parameter) in mine else None for gradient, parameter in row])
        refuse_unreached(rows)
        return rows


def _rows_of(gradient_K: Tensor | None, count: int) -> Sequence[Tensor | None]:
    return [None] * count if gradient_K is None else gradient_K.contiguous().unbind()


def _reached(term: Tensor) -> set[int]:
    """Ids of the leaves behind a term: a batched gradient has zeros where a row must say `None`."""
    found: set[int] = set()
    waiting, seen = [term.grad_fn], {term.grad_fn}
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.add(id(leaf))
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return found
