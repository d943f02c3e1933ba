"""Over which gradients a rule decides: a question of its own, not a rule's option."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from acl_lightning.errors import UserError


class Scope(ABC):  # noqa: B024 - a common type for two contracts
    """Over which gradients a rule decides. Either a `Partition` or a `Proxy`."""

    def check(self, names: Sequence[str]) -> None:  # noqa: B027 - most scopes take what there is
        """Raise `UserError` if this scope selects none of the trained parameters called `names`."""


class Partition(Scope):
    """A partition of the parameters. A rule decides once per group, from the members that all terms reach.

    Every term's gradient is needed for every parameter: one backward pass per term.
    """

    @abstractmethod
    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Indices of `names`, partitioned; every index in exactly one group."""


class AllParameters(Partition):
    """One group: all parameters as one vector. The default of ACL-Grad in this project."""

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """A single group."""
        return [list(range(len(names)))]


class PerLayer(Partition):
    """A group per layer of the backbone, per head and per exit row; the embeddings, which have no number, are one."""

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Names alike up to their first number are a group."""
        found: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            numbered = re.match(r"(?:[^.]+\.)*?\d+(?=\.|$)", name)
            found.setdefault(numbered[0] if numbered else name.partition(".")[0], []).append(index)
        return list(found.values())


class PerTensor(Partition):
    """A group per parameter."""

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """One index each."""
        return [[index] for index in range(len(names))]


class Proxy(Scope):
    """A few tensors at which the terms' gradients are compared before the backward pass.

    The pass itself is then one, of the weighted sum of the terms: the decision holds for all parameters. It is made
    once per micro-batch, since a graph does not outlive its micro-batch.
    """

    #: Whether an inner product over all processes is the sum of theirs (gradients of different samples), or that of
    #: gradients averaged over the processes first (gradients of the same parameters).
    sums_over_ranks: ClassVar[bool]

    @abstractmethod
    def tensors(
        self, names: Sequence[str], parameters: Sequence[nn.Parameter], embeddings_EBD: Tensor | None
    ) -> list[Tensor]:
        """The tensors to compare gradients at.

        Args:
            names: of the trained parameters.
            parameters: the same parameters.
            embeddings_EBD: what the classifiers see, as the encoder handed it out.

        Raises:
            UserError: there is none.
        """


class TopLayers(Proxy):
    """The parameters of the deepest layers of the backbone.

    Args:
        count: how many layers.

    Raises:
        UserError: fewer than one; before the first step, if none of those layers is trained.
    """

    sums_over_ranks = False

    def __init__(self, count: int = 1) -> None:
        if count < 1:
            raise UserError("at least one layer for the scope TopLayers", f"{count}", "Set its count to 1 or more.")
        self.count = count

    def tensors(
        self, names: Sequence[str], parameters: Sequence[nn.Parameter], embeddings_EBD: Tensor | None
    ) -> list[Tensor]:
        """Parameters of the `count` layers with the highest numbers."""
        return [parameters[index] for index in self._chosen(names)]

    def check(self, names: Sequence[str]) -> None:
        """Raise `UserError` if no layer of the backbone is trained."""
        self._chosen(names)

    def _chosen(self, names: Sequence[str]) -> list[int]:
        layers = [re.match(r"backbone\..*?\.(\d+)\.", name) for name in names]
        numbers = sorted({int(layer[1]) for layer in layers if layer})
        if not numbers:
            raise UserError(
                "trained layers of the backbone for the scope TopLayers", "none", "Unfreeze the backbone, or take "
                "the scope AllParameters.",
            )  # fmt: skip
        chosen = numbers[-self.count :]
        return [index for index, layer in enumerate(layers) if layer and int(layer[1]) in chosen]


class Representation(Proxy):
    """What the classifiers see. No pass through the encoder is spent on the decision; a weak proxy of `AllParameters`.

    The inner product is that of the gradients with respect to `embeddings_EBD`, over all exits and samples.
    """

    sums_over_ranks = True

    def tensors(
        self, names: Sequence[str], parameters: Sequence[nn.Parameter], embeddings_EBD: Tensor | None
    ) -> list[Tensor]:
        """The embeddings."""
        if embeddings_EBD is None or not embeddings_EBD.requires_grad:
            raise UserError(
                "embeddings with a graph for the scope Representation", "none",
                "Hand the encoder's embeddings_EBD to the gradient step.",
            )  # fmt: skip
        return [embeddings_EBD]
