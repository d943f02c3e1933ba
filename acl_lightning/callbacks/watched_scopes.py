"""Scopes as sets of sources to sum over: every scope is read off one table of inner products."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from acl_lightning.callbacks.angles import cosines
from acl_lightning.errors import UserError
from acl_lightning.gradients import Partition, Proxy, Scope


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
    """The groups of all scopes. A proxy that finds nothing (`TopLayers` with a frozen backbone) is left out.

    Args:
        scopes: partitions and proxies.
        names: of the trained parameters.
        sources: at which gradients are taken: those parameters, and at the end the embeddings (E, B, D).
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
            with contextlib.suppress(UserError):
                tensors = scope.tensors(names, parameters, embeddings_EBD)
                groups.append(WatchedGroup(scope_name(scope), "", tuple(place[id(tensor)] for tensor in tensors)))
    return groups


def _name(names: Sequence[str], part: Sequence[int], num_parts: int) -> str:
    """What the names of a part begin with, cut at a dot; the name itself of a single one."""
    if num_parts == 1:
        return ""
    levels = zip(*(names[index].split(".") for index in part), strict=False)
    return ".".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))


def over(group: WatchedGroup, products: Mapping[int, Tensor]) -> tuple[float, float, float] | None:
    """Cosine and both norms over a group's members; None where both terms reach none of them.

    Args:
        group: indices of sources.
        products: what `compared` found.
    """
    reached = [products[index] for index in group.members if index in products]
    if not reached:
        return None
    square_p, product, square_t = torch.stack(reached).sum(dim=0)
    return cosines(product, square_p, square_t).item(), square_p.sqrt().item(), square_t.sqrt().item()
