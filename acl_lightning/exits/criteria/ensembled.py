"""Criterion on the weighted geometric mean of the exits up to each exit."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.wrapped import Wrapped

#: Number of samples whose products of weights and logits (E, E, samples, C) are in memory at once.
CHUNK = 2**14


class Ensembled(Wrapped):
    """A criterion that reads, and answers by, the weighted geometric mean of the exits up to each exit.

    `log p_m = sum_{j <= m} w[m, j] log p_j + const`, computed as logits: `sum_{j <= m} w[m, j] logits_j`. The weights
    of a row sum to 1, so a row with the single weight 1 at j = m is the exit alone. Source: Zero Time Waste (Wolczyk et
    al., NeurIPS 2021, arXiv 2106.05409), which learns weights per class and a bias by SGD on training data; one weight
    per exit, fitted on the selection split, is our reading (`LearntEnsemble`).

    A temperature applies to the mean: `Ensembled(Calibrated(criterion, temperatures_E), weights_EE)`.

    >>> import torch
    >>> from acl_lightning.exits import Confidence
    >>> mean = Ensembled(Confidence(), [[1.0], [0.5, 0.5]])
    >>> mean.answers(torch.tensor([[[0.0, 4.0]], [[0.0, -2.0]]]))
    tensor([[[0., 4.]],
    <BLANKLINE>
            [[0., 1.]]])
    """

    name: ClassVar[str] = "ensemble"
    prefix: ClassVar[str] = name

    def __init__(self, criterion: Criterion, weights_EE: Sequence[Sequence[float]]) -> None:
        """Wrap a criterion.

        Args:
            criterion: The criterion. The name in tables is `ensemble_` followed by its name.
            weights_EE: Row m holds the weights of the exits 1 to m in the answer at exit m; not negative, sum 1.

        Raises:
            UserError: A row has another length, a weight is negative, or a sum is not 1.
        """
        check_weights(weights_EE)
        super().__init__(criterion)
        self.weights_EE = tuple(tuple(map(float, row)) for row in weights_EE)

    @cached_property
    def _matrix_EE(self) -> Tensor:
        """The weights as a lower triangular matrix, float32."""
        size = len(self.weights_EE)
        return torch.tensor([[*row, *[0.0] * (size - len(row))] for row in self.weights_EE], dtype=torch.float32)

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """Return the variants of the inner criterion, all on the mean."""
        return [Ensembled(variant, self.weights_EE) for variant in self.criterion.variants(num_classes)]

    def inputs(self, logits_EBC: Tensor, gates_EB: Tensor | None, cosines_EBC: Tensor | None = None) -> Tensor:
        """Return the inputs of the inner criterion, computed from the mean."""
        return self.criterion.inputs(self.answers(logits_EBC), gates_EB, cosines_EBC)

    def answers(self, logits_EBC: Tensor) -> Tensor:
        """Return the logits (E, B, C) of the weighted means, float32; NaN where an exit with a weight is not finite.

        The sums are computed elementwise in the order of the exits, so that the answer to a sample has the same bits in
        every batch, which a matrix product does not guarantee.

        Raises:
            UserError: There are more exits than rows of weights, or C = 1: a regression has no class distribution.
        """
        exits, _, classes = logits_EBC.shape
        if exits > len(self.weights_EE):
            raise UserError(
                f"ensemble weights of {exits} exits",
                f"{len(self.weights_EE)}",
                "Use the weights that were fitted on this model.",
            )
        if classes < 2:
            raise UserError("classes for an ensemble of exits", "a regression (1 output)", "Leave the ensemble out.")
        weights_EE = self._matrix_EE[:exits, :exits].to(logits_EBC.device)
        logits_EBC = logits_EBC.float()
        if logits_EBC.isfinite().all():  # the usual case needs no masks, which take longer than the mean itself
            return _weighted_sums(weights_EE, logits_EBC)
        finite_EB = logits_EBC.isfinite().all(dim=-1)
        means_EBC = _weighted_sums(weights_EE, logits_EBC.masked_fill(~finite_EB.unsqueeze(-1), 0.0))
        spoilt_EB = (weights_EE > 0).float() @ (~finite_EB).float() > 0
        return means_EBC.masked_fill(spoilt_EB.unsqueeze(-1), torch.nan)

    def exits_read(self, threshold: float, num_exits: int) -> range:
        """Return all exits up to the last that the inner criterion reads: the mean needs them."""
        return range(self.criterion.exits_read(threshold, num_exits).stop)


def _weighted_sums(weights_EE: Tensor, logits_EBC: Tensor) -> Tensor:
    """Return the weighted sums (E, B, C) over the exits up to each exit, added in the order of the exits."""
    if logits_EBC.shape[1] > CHUNK:
        return torch.cat(
            [_weighted_sums(weights_EE, part_EBC) for part_EBC in torch.split(logits_EBC, CHUNK, dim=1)], dim=1
        )
    return functools.reduce(torch.add, (weights_EE[:, :, None, None] * logits_EBC).unbind(dim=1))


def check_weights(weights_EE: Sequence[Sequence[float]]) -> None:
    """Raise `UserError` unless row m (from 1) has m weights that are not negative and sum to 1."""
    remedy = "Validate the run again with --exit_sweep.ensemble=acl_lightning.exits.LearntEnsemble."
    if not weights_EE:
        raise UserError("ensemble weights of at least one exit", "none", remedy)
    for number, row in enumerate(weights_EE, start=1):
        valid = len(row) == number and all(weight >= 0 for weight in row) and math.isclose(sum(row), 1, abs_tol=1e-6)
        if not valid:
            raise UserError(
                f"{number} ensemble weights of exit {number}, not negative, with the sum 1", f"{list(row)}", remedy
            )
