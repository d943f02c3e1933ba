"""Gradient rules (one file each), the scopes they decide over, and how the gradients of several terms are collected.

Plain torch; usable without Lightning::

    gradients_KN = torch.stack([g_ce, g_acl])
    update_N = Discard()(gradients_KN)      # ACL-Grad
"""

from acl_lightning.gradients.base import GradientRule
from acl_lightning.gradients.collect import autograd_rows, mean_over_ranks
from acl_lightning.gradients.discard import Discard
from acl_lightning.gradients.gather import gather, gather_outputs
from acl_lightning.gradients.products import combine, products_with_protected
from acl_lightning.gradients.scopes import (
    AllParameters,
    Partition,
    PerLayer,
    PerTensor,
    Proxy,
    Representation,
    Scope,
    TopLayers,
)
from acl_lightning.gradients.summed import Sum

__all__ = [
    "AllParameters",
    "Discard",
    "GradientRule",
    "Partition",
    "PerLayer",
    "PerTensor",
    "Proxy",
    "Representation",
    "Scope",
    "Sum",
    "TopLayers",
    "autograd_rows",
    "combine",
    "gather",
    "gather_outputs",
    "mean_over_ranks",
    "products_with_protected",
]
