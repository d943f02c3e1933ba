"""PCGrad (Yu et al., NeurIPS 2020) with a protected gradient: conflicting gradients are projected, not dropped."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.gradients.base import GradientRule


class ProtectedPCGrad(GradientRule):
    r"""Sum of all gradients, where a conflicting gradient loses its component along the protected one.

    .. math:: g = g_0 + \sum_k \left(g_k - \frac{\min(0, \langle g_0, g_k \rangle)}{|g_0|^2} g_0\right)

    PCGrad projects every gradient against every other. Here only auxiliary gradients are projected, and only against
    the protected gradient, which is not changed (our reading of its use in RomeBERT). To first order the step never
    increases the protected loss: `<g, g_0> >= |g_0|^2`, up to the rounding of `<g_k, g_0>`.

    As weights: `w_0 = 1 - sum_k min(0, <g_0, g_k>) / |g_0|^2` over the shared parameters, and 1 for the other rows. A
    row that is not finite, or so much longer than `g_0` that the quotient overflows, is left out.
    """

    def weights(self, products_K: Tensor) -> Tensor:
        """Return 1 for finite rows; the first weight also contains the projections of conflicting rows."""
        conflicting = products_K < 0
        parts_K = (products_K / products_K[0]).where(conflicting, 0.0)
        kept = products_K.isfinite() & parts_K.isfinite()
        weights_K = kept.to(products_K.dtype)
        weights_K[0] = 1 - parts_K[kept].sum()
        return weights_K
