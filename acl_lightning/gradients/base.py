"""Base class of gradient rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from acl_lightning.gradients.products import combine, products_with_protected


class GradientRule(nn.Module, ABC):
    """Combination of the gradients of K terms, `[K, N] -> [N]`; row 0 is the gradient of the protected term.

    Every rule is a weighted sum: it maps the inner products `<g_0, g_k>` to a weight per row. The rows are therefore
    never needed as a matrix; `GradientStep` computes the K products tensor by tensor.

    A row that is not finite never counts as agreement. A row with weight exactly zero is left out of the sum, so that
    its infinities do not reach the result.
    """

    #: False for a rule whose weights do not depend on the gradients: the losses are then summed before a single
    #: backward pass.
    needs_separate_gradients: ClassVar[bool] = True

    def forward(self, gradients_KN: Tensor) -> Tensor:
        """Return the weighted sum of the rows of a matrix.

        Raises:
            ValueError: The argument is not a matrix with at least one row.
        """
        if gradients_KN.ndim != 2 or gradients_KN.shape[0] == 0:
            raise ValueError(f"expected gradients of shape [K, N] with K >= 1; found {tuple(gradients_KN.shape)}")
        rows = [[row] for row in gradients_KN.unbind()]
        return combine(rows, self.weights(products_with_protected(rows)), 0)

    @abstractmethod
    def weights(self, products_K: Tensor) -> Tensor:
        """Return the weight of every row, (K,).

        The first weight must be at least 1. It applies to parameters that row 0 shares with other rows; elsewhere row 0
        has weight 1 (see `combine`).

        Args:
            products_K: Inner products `<g_0, g_k>`, float64, on the CPU; the first is the squared norm of row 0 over
                the shared parameters. Not finite where row k or row 0 is not.
        """
