"""Projection onto the plane that does not conflict (PCGrad, Yu et al., NeurIPS 2020), with one protected gradient."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.gradients.base import GradientRule


class ProtectedPCGrad(GradientRule):
    """`g = g_0 + sum_k (g_k - min(0, <g_0, g_k>) / |g_0|^2 * g_0)`: a conflicting `g_k` loses its part along `g_0`.

    PCGrad projects every gradient against every other; here only the auxiliary ones are projected, and only against the
    protected one, which stays as it is (our reading of how RomeBERT uses it). The step never raises the protected term
    to first order: `<g, g_0> >= |g_0|^2`, up to the rounding of `<g_k, g_0>`.

    As a weighting: `w_0 = 1 - sum_k min(0, <g_0, g_k>) / |g_0|^2` over the shared parameters, and 1 for the others. A
    row that is not finite, or so much longer than `g_0` that the quotient overflows, is left out.
    """

    def weights(self, products_K: Tensor) -> Tensor:
        """1 for finite rows; the first also makes up for what conflicting rows lose along it."""
        conflicting = products_K < 0
        parts_K = (products_K / products_K[0]).where(conflicting, 0.0)
        kept = products_K.isfinite() & parts_K.isfinite()
        weights_K = kept.to(products_K.dtype)
        weights_K[0] = 1 - parts_K[kept].sum()
        return weights_K
