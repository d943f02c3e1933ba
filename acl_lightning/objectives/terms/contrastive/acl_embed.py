"""ACL-Embed: label embeddings as additional samples of a supervised contrastive loss (Li & Zhu, arXiv 2602.03563)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.contrastive.memory_queue import KeptSamples, MemoryQueue
from acl_lightning.objectives.terms.contrastive.similarity import check_temperature, contrastive_loss
from acl_lightning.outputs import ExitOutputs


def acl_embed(
    embeddings_EBD: Tensor,
    labels_B: Tensor,
    label_embeddings_ECD: Tensor,
    temperature: float,
    *,
    label_anchors: bool,
    kept: KeptSamples | None = None,
) -> Tensor:
    """Return the supervised contrastive loss over the union of B samples and C label embeddings: (E,), in nats.

    The class of label embedding c is c, so every sample has a positive: the embedding of its label. The formula is our
    reading: the text of the paper available to us describes the idea in words.

    Args:
        embeddings_EBD: Representations at every exit.
        labels_B: Class of every sample, 0 <= label < C.
        label_embeddings_ECD: A vector per class and exit.
        temperature: Temperature tau > 0.
        label_anchors: Whether label embeddings are anchors too; otherwise samples are only compared with them.
        kept: Samples of earlier batches, which are compared with but are no anchors.
    """
    num_samples, num_classes = len(labels_B), label_embeddings_ECD.shape[1]
    union_EUD = torch.cat([embeddings_EBD, label_embeddings_ECD.to(embeddings_EBD.dtype)], dim=1)
    labels_U = torch.cat([labels_B, torch.arange(num_classes, device=labels_B.device, dtype=labels_B.dtype)])
    num_anchors = num_samples + num_classes if label_anchors else num_samples
    anchors_EAD = union_EUD[:, :num_anchors]
    others_AU = ~torch.eye(num_anchors, num_samples + num_classes, dtype=torch.bool, device=labels_B.device)
    positives_AU = (labels_U[:num_anchors].unsqueeze(1) == labels_U.unsqueeze(0)) & others_AU
    if kept is not None:
        same_AQ, present_AQ = kept.masks(labels_U[:num_anchors])
        union_EUD = torch.cat([union_EUD, kept.embeddings_EQD], dim=1)
        positives_AU = torch.cat([positives_AU, same_AQ], dim=1)
        others_AU = torch.cat([others_AU, present_AQ], dim=1)
    if label_anchors and num_classes > num_samples:  # most label embeddings have no positive and do not count
        has_positive_A = positives_AU.any(dim=1)
        anchors_EAD = anchors_EAD[:, has_positive_A]
        positives_AU, others_AU = positives_AU[has_positive_A], others_AU[has_positive_A]
    return contrastive_loss(anchors_EAD, union_EUD, positives_AU, others_AU, temperature)


class ACLEmbed(Term):
    """ACL-Embed at every exit; see `acl_embed` for the formula.

    The encoder decides whether the label embeddings are the weight rows of the classifier ("tied") or a separate table
    ("separate"), and returns them in `ExitOutputs`.

    Args:
        temperature: Temperature tau > 0.
        anchors: Anchors of the contrastive loss. "all": samples and label embeddings; "samples": samples only. The
            paper leaves this open; our default is "all", the loss over the whole union.
        queue: Queue of samples of earlier batches, to compare with more samples than a batch has. Default (None): the
            batch and the label embeddings alone.

    Raises:
        UserError: The temperature is not positive, or `anchors` has another value.
    """

    name = "acl_embed"

    def __init__(
        self,
        temperature: float = 0.3,
        anchors: Literal["all", "samples"] = "all",
        queue: MemoryQueue | None = None,
    ) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        if anchors not in ("all", "samples"):
            raise UserError('anchors "all" or "samples"', f"{anchors!r}", "Set anchors to all (the default).")
        self.label_anchors = anchors == "all"
        self.queue = queue
        self.keeps_samples = queue is not None

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), in nats."""
        return self._loss(outputs, labels_B, None if self.queue is None else self.queue.samples(outputs.embeddings_EBD))

    def within_batch(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), without the queue."""
        return self._loss(outputs, labels_B, None)

    def after_batch(self, outputs: ExitOutputs, labels_B: Tensor) -> None:
        """Add the samples of the batch to the queue."""
        if self.queue is not None:
            self.queue.push(outputs.embeddings_EBD, labels_B)

    def begin_stage(self) -> None:
        """Empty the queue."""
        if self.queue is not None:
            self.queue.clear()

    def _loss(self, outputs: ExitOutputs, labels_B: Tensor, kept: KeptSamples | None) -> Tensor:
        return acl_embed(
            outputs.embeddings_EBD,
            labels_B,
            outputs.label_embeddings_ECD,
            self.temperature,
            label_anchors=self.label_anchors,
            kept=kept,
        )
