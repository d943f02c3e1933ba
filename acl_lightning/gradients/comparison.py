"""Cosine and norms of the gradients of two losses, over groups of parameters.

Plain torch; usable without Lightning::

    comparer = GradientComparer(cross_entropy, model.named_parameters(), [AllParameters(), PerLayer()])
    for scope, group, cosine, norm_protected, norm_term in comparer.compare(contrastive):
        print(scope, group, cosine)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor, nn

from acl_lightning.distributed import mean_over_ranks
from acl_lightning.errors import UserError
from acl_lightning.gradients.collector import Row
from acl_lightning.gradients.products import products_by_parameter
from acl_lightning.gradients.scopes import AllParameters, Partition, Proxy, Scope

#: Smallest denominator of a cosine.
_TINY = torch.finfo(torch.float64).tiny


def cosines(products: Tensor, first_squares: Tensor, second_squares: Tensor) -> Tensor:
    """Return `<a, b> / (|a| |b|)` from inner products and squared norms, in [-1, 1].

    A zero vector has cosine 0, which is no conflict. Values that are not finite give NaN.

    Args:
        products: Inner products `<a, b>`, float64, any shape.
        first_squares: Squared norms `|a|^2`, broadcast against `products`.
        second_squares: Squared norms `|b|^2`, broadcast against `products`.
    """
    scale = (first_squares.sqrt() * second_squares.sqrt()).clamp(min=_TINY)
    return (products / scale).clamp(-1, 1)


def degrees(cosine: Tensor) -> Tensor:
    """Return the angle that belongs to a cosine, in [0, 180]."""
    return torch.rad2deg(torch.acos(cosine))


def pair_products(first: Row, second: Row) -> Tensor:
    """Return `|a|^2`, `<a, b>` and `|b|^2` for every parameter: (3, N), float64, on the CPU.

    All three are zero where only one of the two losses, or neither, reaches the parameter.
    """
    squares_N, products_N = products_by_parameter([first, second])
    return torch.stack([squares_N, products_N, products_by_parameter([second, first])[0]])


@dataclass(frozen=True)
class RowComparison:
    """Comparison of K gradient rows with the first, over the parameters that both reach.

    Attributes:
        shared_K: Whether row k reaches a parameter that the first row reaches; for the first row: any other row does.
        cosines_K: Cosine with the first row, float64.
        norms_K: Euclidean norm over the parameters shared with the first row, float64; for the first row over those
            that it shares with any other row.
    """

    shared_K: list[bool]
    cosines_K: Tensor
    norms_K: Tensor


def compare_rows(rows: Sequence[Row]) -> RowComparison:
    """Compare K >= 2 gradient rows with the first."""
    others = [any(p is not None and t is not None for p, t in zip(rows[0], row, strict=True)) for row in rows[1:]]
    square = products_by_parameter(rows)[0].sum()
    firsts, products, squares = zip(*(pair_products(rows[0], row).sum(dim=1) for row in rows[1:]), strict=True)
    squares_K = torch.stack([square, *squares])
    return RowComparison(
        shared_K=[any(others), *others],
        cosines_K=cosines(torch.stack([square, *products]), torch.stack([square, *firsts]), squares_K),
        norms_K=squares_K.sqrt(),
    )


class GroupComparison(NamedTuple):
    """Comparison of two gradients over a group of parameters.

    Attributes:
        scope: Name of the scope, see `scope_name`.
        group: Common beginning of the names of the group's parameters; empty for a scope with a single group.
        cosine: Cosine of the angle between the gradients; NaN where a gradient is not finite.
        norm_protected: Euclidean norm of the protected loss's gradient over the parameters that both losses reach.
        norm_term: Euclidean norm of the other loss's gradient over the same parameters.
    """

    scope: str
    group: str
    cosine: float
    norm_protected: float
    norm_term: float


class GradientComparer:
    """Comparison of the gradient of a protected loss with those of other losses on the same graph.

    The graph is kept and no `.grad` is written. A scope that selects nothing is left out, such as `TopLayers` with a
    frozen backbone or `Representation` without embeddings.

    Args:
        protected: Scalar loss.
        named_parameters: Parameters at which gradients are compared; those that require no gradient are left out.
        scopes: Groups of parameters to compare over. Default: all parameters as one vector.
        embeddings_EBD: Vectors that the classifiers see, for the scope `Representation`.
        world_size: Number of processes. With several, gradients of parameters are averaged over them and inner products
            of gradients at the embeddings are summed, since each process has other samples.

    Raises:
        UserError: `torch.autograd.grad` returns no gradient of the protected loss for any parameter.
    """

    def __init__(
        self,
        protected: Tensor,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        scopes: Sequence[Scope] | None = None,
        embeddings_EBD: Tensor | None = None,
        *,
        world_size: int = 1,
    ) -> None:
        trained = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
        self._names = [name for name, _ in trained]
        self._parameters = [parameter for _, parameter in trained]
        self._embeddings_EBD = embeddings_EBD
        self._world_size = world_size
        self._groups = [group for scope in scopes or [AllParameters()] for group in self._groups_of(scope)]
        self._protected = self._row(protected)
        if all(gradient is None for gradient in self._protected[: len(trained)]):
            raise UserError(
                "parameters whose gradients autograd.grad returns, for a comparison of gradients",
                "none; the strategy shards or hides them",
                "Remove the callback GradientProbe, or set trainer.strategy to ddp.",
            )

    def compare(self, term: Tensor) -> list[GroupComparison]:
        """Compare the gradient of a scalar loss with that of the protected loss.

        Returns:
            A comparison per group, in the order of the scopes; groups that share no parameter are left out.
        """
        row = self._row(term)
        products_3N = pair_products(self._protected, row)
        if self._world_size > 1 and self._embeddings_EBD is not None and row[-1] is not None:
            summed = products_3N[:, -1].to(row[-1].device).contiguous()
            torch.distributed.all_reduce(summed)
            products_3N[:, -1] = summed.cpu()
        compared = []
        for scope, name, members in self._groups:
            shared = [n for n in members if self._protected[n] is not None and row[n] is not None]
            if shared:
                square_p, product, square_t = products_3N[:, shared].sum(dim=1)
                cosine = cosines(product, square_p, square_t).item()
                compared.append(GroupComparison(scope, name, cosine, square_p.sqrt().item(), square_t.sqrt().item()))
        return compared

    def _row(self, loss: Tensor) -> Row:
        """Return the gradients of a loss at the parameters and, where there are some, at the embeddings."""
        embeddings = [] if self._embeddings_EBD is None else [self._embeddings_EBD]
        sources = [*self._parameters, *embeddings]
        if not loss.requires_grad:
            return [None] * len(sources)
        row: Row = list(torch.autograd.grad(loss, sources, retain_graph=True, allow_unused=True))
        if self._world_size == 1:
            return row
        # The samples of a process get their gradient from the loss of that process, whose share in the mean is this.
        shares = [gradient if gradient is None else gradient / self._world_size for gradient in row[len(self._names) :]]
        return [*mean_over_ranks(row[: len(self._names)]), *shares]

    def _groups_of(self, scope: Scope) -> list[tuple[str, str, list[int]]]:
        """Return scope name, group name and indices into a gradient row for every group of a scope."""
        name = scope_name(scope)
        if isinstance(scope, Partition):
            parts = scope.groups(self._names)
            return [(name, _common_prefix(self._names, part) if len(parts) > 1 else "", part) for part in parts]
        assert isinstance(scope, Proxy)
        place = {id(source): n for n, source in enumerate([*self._parameters, self._embeddings_EBD])}
        with contextlib.suppress(UserError):
            tensors = scope.tensors(self._names, self._parameters, self._embeddings_EBD)
            return [(name, "", [place[id(tensor)] for tensor in tensors])]
        return []


def scope_name(scope: Scope) -> str:
    """Return the class of a scope with its arguments.

    >>> from acl_lightning.gradients import PerLayer, TopLayers
    >>> scope_name(PerLayer()), scope_name(TopLayers(1))
    ('PerLayer', 'TopLayers(1)')
    """
    arguments = ", ".join(str(value) for value in vars(scope).values())
    return f"{type(scope).__name__}({arguments})" if arguments else type(scope).__name__


def _common_prefix(names: Sequence[str], part: Sequence[int]) -> str:
    """Return the common beginning of the names of a group, cut at a dot."""
    levels = zip(*(names[index].split(".") for index in part), strict=False)
    return ".".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))
