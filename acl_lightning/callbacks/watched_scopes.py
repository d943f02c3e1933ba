"""Scopes as sets of gradients to sum over: every scope is read off one table of inner products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from acl_lightning.callbacks.angles import cosines
from acl_lightning.gradients import Partition, Proxy, Scope, products_with_protected
from acl_lightning.gradients.collect import Row


@dataclass(frozen=True)
class WatchedGroup:
    """Gradients that are compared as one vector.

    Attributes:
        scope: name of the scope.
        name: of the group within the scope, empty where it is the only one.
        members: indices of the sources.
    """

    scope: str
    name: str
    members: tuple[int, ...]


def scope_name(scope: Scope) -> str:
    """`PerLayer`, `TopLayers(1)`: the class and its arguments."""
    arguments = ", ".join(str(value) for value in vars(scope).values())
    return f"{type(scope).__name__}({arguments})" if arguments else type(scope).__name__


def watched_groups(scopes: Sequence[Scope], names: Sequence[str], sources: Sequence[Any]) -> list[WatchedGroup]:
    """The groups of all scopes.

    Args:
        scopes: partitions and proxies.
        names: of the trained parameters.
        sources: at which gradients are taken: those parameters, and at the end the embeddings (E, B, D).

    Raises:
        UserError: a scope selects nothing.
    """
    *parameters, embeddings_EBD = sources
    place = {id(source): index for index, source in enumerate(sources)}
    groups = []
    for scope in scopes:
        if isinstance(scope, Partition):
            parts = scope.groups(names)
            groups += [WatchedGroup(scope_name(scope), _name(names, part, len(parts)), tuple(part)) for part in parts]
        else:
            assert isinstance(scope, Proxy)
            tensors = scope.tensors(names, parameters, embeddings_EBD)
            groups.append(WatchedGroup(scope_name(scope), "", tuple(place[id(tensor)] for tensor in tensors)))
    return groups


def _name(names: Sequence[str], part: Sequence[int], num_parts: int) -> str:
    """What the names of a part begin with, cut at a dot; the name itself of a single one."""
    if num_parts == 1:
        return ""
    levels = zip(*(names[index].split(".") for index in part), strict=False)
    return ".".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))


def compared(protected: Row, term: Row, world_size: int = 1) -> dict[int, Tensor]:
    """`(<p, p>, <p, t>, <t, t>)` of two gradients p and t, for every source that both reach.

    Args:
        protected: a gradient per source; the last is of this process's samples, the others are alike on all processes.
        term: likewise.
        world_size: of the processes, over which the products of the last source are summed.

    Returns:
        Index of the source -> (3,), float64.
    """
    products = {}
    for index, (p, t) in enumerate(zip(protected, term, strict=True)):
        if p is None or t is None:
            continue
        products[index] = torch.cat([products_with_protected([[p], [t]]), products_with_protected([[t]])])
        if world_size > 1 and index + 1 == len(term):
            here = products[index].to(t.device)
            torch.distributed.all_reduce(here)
            products[index] = here.cpu()
    return products


def over(group: WatchedGroup, products: Mapping[int, Tensor]) -> tuple[float, float, float] | None:
    """Cosine and both norms over a group's members; None where no member is reached by both terms."""
    reached = [products[index] for index in group.members if index in products]
    if not reached:
        return None
    square_p, product, square_t = torch.stack(reached).sum(dim=0)
    return cosines(product, square_p, square_t).item(), square_p.sqrt().item(), square_t.sqrt().item()
