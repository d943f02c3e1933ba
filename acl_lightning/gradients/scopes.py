"""Over which parameters a rule decides: a grouping, not a rule's option."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class Scope(ABC):
    """A partition of the parameters. A rule decides once per group, from the members that all terms reach."""

    @abstractmethod
    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Indices of `names`, partitioned; every index in exactly one group."""


class AllParameters(Scope):
    """One group: all parameters as one vector. The default of ACL-Grad in this project."""

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """A single group."""
        return [list(range(len(names)))]
