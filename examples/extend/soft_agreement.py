"""A gradient rule from outside the package: terms count as much as they agree with the protected term.

On the command line, with this directory as the working directory:

    python -m acl_lightning fit --config quickstart.yaml --model.gradient_rule=soft_agreement.SoftAgreement
"""

import torch
from torch import Tensor

from acl_lightning import GradientRule


class SoftAgreement(GradientRule):
    """`g = g_0 + sum_k w_k g_k` with `w_k = <g_0, g_k> / |g_0|^2`, held between 0 and 1."""

    def weights(self, products_K: Tensor) -> Tensor:
        """Return one weight per row, from its inner product with the protected row 0."""
        weights_K = (products_K / products_K[0]).nan_to_num(0.0, posinf=0.0, neginf=0.0).clamp(0, 1)
        weights_K[0] = 1
        return weights_K


def main() -> list[float]:
    """Combine three gradients, print the result and return it."""
    gradients = torch.tensor([[2.0, 0.0], [1.0, 1.0], [-1.0, 1.0]])  # the third is in conflict with the first
    combined = SoftAgreement()(gradients)
    print(combined)
    return combined.tolist()


if __name__ == "__main__":
    main()
