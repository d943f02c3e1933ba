"""ACL-Grad: discard gradients that conflict with the protected one (Li & Zhu, arXiv 2602.03563)."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.gradients.base import GradientRule


class ACLGrad(GradientRule):
    r"""Sum of the protected gradient and of all gradients that do not conflict with it.

    .. math:: g = g_0 + \sum_{k: \langle g_0, g_k \rangle \ge 0} g_k

    Conflicting gradients are dropped, not projected. To first order the step never increases the protected loss:
    `<g, g_0> >= |g_0|^2`. A right angle is no conflict. The paper states that ACL-Embed is discarded when the two
    objectives conflict; that a conflict is a negative inner product over all shared parameters is our reading.
    """

    def weights(self, products_K: Tensor) -> Tensor:
        """Return 1 for rows that agree with row 0, and 0 for rows that conflict or are not finite."""
        agrees = products_K.isfinite() & (products_K >= 0)
        agrees[0] = True
        return agrees.to(products_K.dtype)
