"""ACL-Grad: discard what conflicts with the protected term (Li & Zhu, arXiv 2602.03563)."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.gradients.base import GradientRule


class ACLGrad(GradientRule):
    """`g = g_0 + sum of those g_k with <g_0, g_k> >= 0`: a drop rule, not a projection.

    The step never raises the protected term to first order: `<g, g_0> >= |g_0|^2`. A right angle counts as agreement.
    The paper says that ACL-Embed is discarded when the two objectives are in conflict; that conflict means a negative
    inner product over all shared parameters is our reading.
    """

    def weights(self, products_K: Tensor) -> Tensor:
        """1 for rows that agree, 0 for rows that conflict or are not finite."""
        agrees = products_K.isfinite() & (products_K >= 0)
        agrees[0] = True
        return agrees.to(products_K.dtype)
