"""SCL: supervised contrastive learning for fine-tuning (Gunel et al., ICLR 2021, arXiv 2011.01403)."""

from __future__ import annotations

import torch
from torch import Tensor

from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.contrastive.similarity import check_temperature, contrastive_loss
from acl_lightning.outputs import ExitOutputs


def supervised_contrastive(embeddings_EBD: Tensor, labels_B: Tensor, temperature: float) -> Tensor:
    """Return `contrastive_loss` with all other samples as candidates and those of the same class as positives: (E,).

    Args:
        embeddings_EBD: Representations at every exit.
        labels_B: Class of every sample.
        temperature: Temperature tau > 0.
    """
    others_BB = ~torch.eye(len(labels_B), dtype=torch.bool, device=labels_B.device)
    same_BB = labels_B.unsqueeze(0) == labels_B.unsqueeze(1)
    return contrastive_loss(embeddings_EBD, embeddings_EBD, same_BB & others_BB, others_BB, temperature)


class SupervisedContrastive(Term):
    """SCL over the inputs of the classifier of each exit, which are not detached.

    A batch in which no two samples have the same class gives 0 with a zero gradient.

    Args:
        temperature: Temperature tau > 0. The paper's usual setting is 0.3, with a convex total and weight 0.9.

    Raises:
        UserError: The temperature is not positive.
    """

    name = "supervised_contrastive"
    min_samples = 2

    def __init__(self, temperature: float = 0.3) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), in nats."""
        return supervised_contrastive(outputs.embeddings_EBD, labels_B, self.temperature)
