"""Scopes: the gradients over which a rule decides, independent of the rule."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from acl_lightning.errors import UserError


class Scope(ABC):  # noqa: B024 - a common type for two contracts
    """Gradients over which a rule decides: either a `Partition` or a `Proxy`."""

    def check(self, names: Sequence[str]) -> None:  # noqa: B027 - most scopes fit any parameters
        """Raise `UserError` if this scope selects none of the trained parameters with these names."""


class Partition(Scope):
    """Partition of the parameters into groups. A rule decides once per group, over the parameters of the group.

    The gradient of every term is needed for every parameter: a backward pass per term.
    """

    @abstractmethod
    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Return the indices of `names`, with every index in exactly one group."""


class AllParameters(Partition):
    """A single group: all parameters as one vector. The default."""

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Return a single group."""
        return [list(range(len(names)))]


class PerLayer(Partition):
    """A group per layer of the backbone, per head and per exit row; a group for the embeddings."""

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Return a group for all names that are equal up to their first number."""
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            numbered = re.match(r"(?:[^.]+\.)*?\d+(?=\.|$)", name)
            groups.setdefault(numbered[0] if numbered else name.partition(".")[0], []).append(index)
        return list(groups.values())


class PerTensor(Partition):
    """A group per parameter."""

    def groups(self, names: Sequence[str]) -> list[list[int]]:
        """Return a group per index."""
        return [[index] for index in range(len(names))]


class Proxy(Scope):
    """A few tensors at which the gradients of the terms are compared before the backward pass.

    The backward pass is then a single pass for the weighted sum of the terms: the decision applies to all parameters.
    The rule decides once per micro-batch, since the graph of a micro-batch is freed after its backward pass.
    """

    #: True: inner products are summed over the processes (gradients of different samples). False: gradients are
    #: averaged over the processes first (gradients of the same parameters).
    sums_over_ranks: ClassVar[bool]

    @abstractmethod
    def tensors(
        self, names: Sequence[str], parameters: Sequence[nn.Parameter], embeddings_EBD: Tensor | None
    ) -> list[Tensor]:
        """Return the tensors at which gradients are compared.

        Args:
            names: Names of the trained parameters.
            parameters: The trained parameters.
            embeddings_EBD: Inputs of the classifiers, as the encoder returned them.

        Raises:
            UserError: There is no such tensor.
        """


class TopLayers(Proxy):
    """Parameters of the deepest trained layers of the backbone.

    Args:
        count: Number of layers.

    Raises:
        UserError: Fewer than 1 layer. In `check` and `tensors`: no layer of the backbone is trained.
    """

    sums_over_ranks = False

    def __init__(self, count: int = 1) -> None:
        if count < 1:
            raise UserError(
                "at least one layer for the scope TopLayers", f"{count}", "Set model.gradient_scope.count to 1 or more."
            )
        self.count = count

    def tensors(
        self, names: Sequence[str], parameters: Sequence[nn.Parameter], embeddings_EBD: Tensor | None
    ) -> list[Tensor]:
        """Return the parameters of the `count` layers with the highest numbers."""
        return [parameters[index] for index in self._selected(names)]

    def check(self, names: Sequence[str]) -> None:
        """Raise `UserError` if no layer of the backbone is trained."""
        self._selected(names)

    def _selected(self, names: Sequence[str]) -> list[int]:
        layers = [re.match(r"backbone\..*?\.(\d+)\.", name) for name in names]
        numbers = sorted({int(layer[1]) for layer in layers if layer})
        if not numbers:
            raise UserError(
                "trained layers of the backbone for the scope TopLayers", "none",
                "Unfreeze the backbone, or set model.gradient_scope to AllParameters.",
            )  # fmt: skip
        selected = numbers[-self.count :]
        return [index for index, layer in enumerate(layers) if layer and int(layer[1]) in selected]


class Representation(Proxy):
    """Inputs of the classifiers: a decision without a backward pass through the encoder, but a weak proxy.

    The inner products are those of the gradients with respect to `embeddings_EBD`, over all exits and samples.
    """

    sums_over_ranks = True

    def tensors(
        self, names: Sequence[str], parameters: Sequence[nn.Parameter], embeddings_EBD: Tensor | None
    ) -> list[Tensor]:
        """Return the embeddings."""
        if embeddings_EBD is None or not embeddings_EBD.requires_grad:
            raise UserError(
                "embeddings with a graph for the scope Representation", "none",
                "Pass the encoder's embeddings_EBD to GradientStep.add.",
            )  # fmt: skip
        return [embeddings_EBD]
