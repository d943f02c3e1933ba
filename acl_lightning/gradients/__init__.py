"""Gradient rules (one file each), the scopes they decide over, collectors of gradients, and the step that uses them.

Plain torch; usable without Lightning::

    gradients_KN = torch.stack([g_ce, g_acl])
    update_N = ACLGrad()(gradients_KN)      # ACL-Grad
"""

from acl_lightning.distributed import gather, gather_outputs
from acl_lightning.gradients.acl_grad import ACLGrad
from acl_lightning.gradients.backward_rows import BackwardRows
from acl_lightning.gradients.base import GradientRule
from acl_lightning.gradients.batched_rows import BatchedRows
from acl_lightning.gradients.collect import AutogradRows, Collector, Row, autograd_rows, mean_over_ranks
from acl_lightning.gradients.products import combine, products_by_parameter, products_with_protected
from acl_lightning.gradients.protected_pcgrad import ProtectedPCGrad
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
from acl_lightning.gradients.step import GradientStep, StepReport
from acl_lightning.gradients.summed import Sum

__all__ = [
    "ACLGrad",
    "AllParameters",
    "AutogradRows",
    "BackwardRows",
    "BatchedRows",
    "Collector",
    "GradientRule",
    "GradientStep",
    "Partition",
    "PerLayer",
    "PerTensor",
    "ProtectedPCGrad",
    "Proxy",
    "Representation",
    "Row",
    "Scope",
    "StepReport",
    "Sum",
    "TopLayers",
    "autograd_rows",
    "combine",
    "gather",
    "gather_outputs",
    "mean_over_ranks",
    "products_by_parameter",
    "products_with_protected",
]
