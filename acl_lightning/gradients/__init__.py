"""Gradient rules, one per file; the scopes they decide over; collectors of gradients; the step that applies a rule.

Plain torch; usable without Lightning::

    gradients_KN = torch.stack([g_ce, g_acl])
    update_N = ACLGrad()(gradients_KN)      # ACL-Grad
"""

from acl_lightning.gradients.acl_grad import ACLGrad
from acl_lightning.gradients.backward_rows import BackwardRows
from acl_lightning.gradients.base import GradientRule
from acl_lightning.gradients.batched_rows import BatchedRows
from acl_lightning.gradients.collector import AutogradRows, Collector, Row, autograd_rows
from acl_lightning.gradients.comparison import (
    GradientComparer,
    GroupComparison,
    RowComparison,
    compare_rows,
    cosines,
    degrees,
    scope_name,
)
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
from acl_lightning.gradients.sum import Sum

__all__ = [
    "ACLGrad",
    "AllParameters",
    "AutogradRows",
    "BackwardRows",
    "BatchedRows",
    "Collector",
    "GradientComparer",
    "GradientRule",
    "GradientStep",
    "GroupComparison",
    "Partition",
    "PerLayer",
    "PerTensor",
    "ProtectedPCGrad",
    "Proxy",
    "Representation",
    "Row",
    "RowComparison",
    "Scope",
    "StepReport",
    "Sum",
    "TopLayers",
    "autograd_rows",
    "combine",
    "compare_rows",
    "cosines",
    "degrees",
    "products_by_parameter",
    "products_with_protected",
    "scope_name",
]
