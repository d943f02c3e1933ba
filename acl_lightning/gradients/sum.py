"""Plain sum of the gradients: ordinary training on the total loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.gradients.base import GradientRule


class Sum(GradientRule):
    """Sum `g = sum_k g_k` of all gradients. Needs a single backward pass."""

    needs_separate_gradients: ClassVar[bool] = False

    def weights(self, products_K: Tensor) -> Tensor:
        """Return all ones."""
        return torch.ones_like(products_K)
