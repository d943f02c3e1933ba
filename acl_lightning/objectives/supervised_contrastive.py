"""SCL: supervised contrastive learning for fine-tuning (Gunel et al., ICLR 2021, arXiv 2011.01403)."""

from __future__ import annotations

import torch
from torch import Tensor

from acl_lightning.objectives.base import Term
from acl_lightning.objectives.similarity import check_temperature, contrastive_loss
from acl_lightning.outputs import ExitOutputs


def supervised_contrastive(embeddings_EBD: Tensor, labels_B: Tensor, temperature: float) -> Tensor:
    """`contrastive_loss` with the other samples as candidates and those of the same class as positives. -> (E,)."""
    others_BB = ~torch.eye(len(labels_B), dtype=torch.bool, device=labels_B.device)
    same_BB = labels_B.unsqueeze(0) == labels_B.unsqueeze(1)
    return contrastive_loss(embeddings_EBD, embeddings_EBD, same_BB & others_BB, others_BB, temperature)


class SupervisedContrastive(Term):
    """SCL over the vectors that the classifier of each exit sees. The embeddings are not detached.

    A batch in which no two samples share a class gives 0 with a zero gradient.

    Args:
        temperature: tau > 0. The paper's widely used setting is 0.3, with a convex total and weight 0.9.

    Raises:
        UserError: the temperature is not positive.
    """

    name = "supervised_contrastive"
    min_samples = 2

    def __init__(self, temperature: float = 0.3) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """(E,) in nats."""
        return supervised_contrastive(outputs.embeddings_EBD, labels_B, self.temperature)
