"""No rule: the plain sum, which is ordinary training on the total loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.gradients.base import GradientRule


class Sum(GradientRule):
    """`g = sum_k g_k`, at the price of one backward pass."""

    needs_separate_gradients: ClassVar[bool] = False

    def weights(self, products_K: Tensor) -> Tensor:
        """All ones."""
        return torch.ones_like(products_K)
