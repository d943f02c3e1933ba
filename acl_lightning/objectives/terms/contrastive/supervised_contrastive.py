"""SCL: supervised contrastive learning for fine-tuning (Gunel et al., ICLR 2021, arXiv 2011.01403)."""

from __future__ import annotations

import torch
from torch import Tensor

from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.contrastive.memory_queue import KeptSamples, MemoryQueue
from acl_lightning.objectives.terms.contrastive.similarity import check_temperature, contrastive_loss
from acl_lightning.outputs import ExitOutputs


def supervised_contrastive(
    embeddings_EBD: Tensor, labels_B: Tensor, temperature: float, kept: KeptSamples | None = None
) -> Tensor:
    """Return `contrastive_loss` with all other samples as candidates and those of the same class as positives: (E,).

    Args:
        embeddings_EBD: Representations at every exit.
        labels_B: Class of every sample.
        temperature: Temperature tau > 0.
        kept: Samples of earlier batches, which are compared with but are no anchors.
    """
    others_BP = ~torch.eye(len(labels_B), dtype=torch.bool, device=labels_B.device)
    positives_BP = (labels_B.unsqueeze(0) == labels_B.unsqueeze(1)) & others_BP
    pool_EPD = embeddings_EBD
    if kept is not None:
        same_BQ, present_BQ = kept.masks(labels_B)
        pool_EPD = torch.cat([pool_EPD, kept.embeddings_EQD], dim=1)
        positives_BP = torch.cat([positives_BP, same_BQ], dim=1)
        others_BP = torch.cat([others_BP, present_BQ], dim=1)
    return contrastive_loss(embeddings_EBD, pool_EPD, positives_BP, others_BP, temperature)


class SupervisedContrastive(Term):
    """SCL over the inputs of the classifier of each exit, which are not detached.

    A batch in which no two samples have the same class gives 0 with a zero gradient.

    Args:
        temperature: Temperature tau > 0. The paper's usual setting is 0.3, with a convex total and weight 0.9.
        queue: Queue of samples of earlier batches, to compare with more samples than a batch has. Default (None): the
            batch alone, as in the paper.

    Raises:
        UserError: The temperature is not positive.
    """

    name = "supervised_contrastive"

    def __init__(self, temperature: float = 0.3, queue: MemoryQueue | None = None) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        self.queue = queue
        self.keeps_samples = queue is not None
        self.min_samples = 2 if queue is None else 1

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), in nats."""
        kept = None if self.queue is None else self.queue.samples(outputs.embeddings_EBD)
        return supervised_contrastive(outputs.embeddings_EBD, labels_B, self.temperature, kept)

    def within_batch(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), without the queue."""
        return supervised_contrastive(outputs.embeddings_EBD, labels_B, self.temperature)

    def after_batch(self, outputs: ExitOutputs, labels_B: Tensor) -> None:
        """Add the samples of the batch to the queue."""
        if self.queue is not None:
            self.queue.push(outputs.embeddings_EBD, labels_B)

    def begin_stage(self) -> None:
        """Empty the queue."""
        if self.queue is not None:
            self.queue.clear()
