"""The contract of a gradient rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from acl_lightning.gradients.products import combine, products_with_protected


class GradientRule(nn.Module, ABC):
    """From the gradients of K terms, `[K, N] -> [N]`; row 0 is the protected term's.

    Every rule of this project is a weighting: it looks at `<g_0, g_k>` and returns one weight per row. So a rule never
    needs the rows in one matrix; the optimiser step feeds it the K products that it summed tensor by tensor.

    A row that is not finite never counts as agreement. A weight of exactly zero leaves its row out of the sum, so that
    its infinities do not reach the result.
    """

    #: False for a rule whose weights are known beforehand: the terms are then summed first, in one backward pass.
    needs_separate_gradients: ClassVar[bool] = True

    def forward(self, gradients_KN: Tensor) -> Tensor:
        """Combine the rows of a matrix.

        Raises:
            ValueError: the argument is not a matrix with at least one row.
        """
        if gradients_KN.ndim != 2 or gradients_KN.shape[0] == 0:
            raise ValueError(f"expected gradients of shape [K, N] with K >= 1; found {tuple(gradients_KN.shape)}")
        rows = [[row] for row in gradients_KN.unbind()]
        return combine(rows, self.weights(products_with_protected(rows)), 0)

    @abstractmethod
    def weights(self, products_K: Tensor) -> Tensor:
        """Weight of every row.

        Args:
            products_K: `<g_0, g_k>`, float64 on the CPU; the first is the squared norm of the protected row over the
                shared parameters. Not finite where row k (or the protected one) is not.

        Returns:
            (K,), the first being at least 1: it is the weight of row 0 where others share the parameter, and 1 is its
            weight elsewhere (see `combine`).
        """
