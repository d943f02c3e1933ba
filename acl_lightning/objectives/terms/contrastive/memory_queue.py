"""Queue of representations of earlier batches, as further samples to compare with."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from acl_lightning.errors import UserError

#: Label of a place of the queue without a sample.
EMPTY = -1


class KeptSamples(NamedTuple):
    """Samples of earlier batches. Q is the size of the queue.

    Attributes:
        embeddings_EQD: Detached representations at every exit.
        labels_Q: Class of every sample; -1 for a place without a sample.
    """

    embeddings_EQD: Tensor
    labels_Q: Tensor

    def masks(self, labels_A: Tensor) -> tuple[Tensor, Tensor]:
        """Return masks (A, Q) for anchors with these labels: samples of the same class, and all samples."""
        present_Q = self.labels_Q != EMPTY
        same_AQ = (labels_A.unsqueeze(1) == self.labels_Q) & present_Q
        return same_AQ, present_Q.expand_as(same_AQ)


class MemoryQueue(nn.Module):
    """First-in first-out queue of detached representations at every exit, with their labels.

    Source: cross-batch memory (XBM, Wang et al., CVPR 2020); the queue of MoCo (He et al., CVPR 2020) holds outputs of
    a second, slowly moving encoder instead. A queue per exit, and label embeddings beside it, are our extension.

    Every micro-batch enters the queue after its gradients are computed, so a sample is never compared with itself in
    the same forward pass. With several processes the samples of all of them enter, in the order of the ranks: the
    queues of all processes are equal, and a checkpoint of one of them is complete. A sample that is not finite is left
    out. The queue is part of the checkpoint (`4 E Q D` bytes) and of no exported model.

    Args:
        size: Largest number Q of samples. In a training set with fewer rows it also holds earlier representations of
            the samples of the batch, which count as other samples of the same class.
        warmup_batches: Number of batches that enter the queue before its samples are used: representations change
            quickly at the start of a training.

    Raises:
        UserError: A size below 1, or a negative number of batches.
    """

    def __init__(self, size: int = 1024, warmup_batches: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise UserError("a size >= 1 of the memory queue", f"{size}", "Set size to 1024, or queue to null.")
        if warmup_batches < 0:
            raise UserError("warmup_batches >= 0", f"{warmup_batches}", "Set warmup_batches to 0 for no warm-up.")
        self.size = size
        self.warmup_batches = warmup_batches
        self.embeddings_EQD: Tensor
        self.labels_Q: Tensor
        self.position: Tensor
        self.batches: Tensor
        self.register_buffer("embeddings_EQD", torch.zeros(0, size, 0))
        self.register_buffer("labels_Q", torch.full((size,), EMPTY))
        self.register_buffer("position", torch.tensor(0))
        self.register_buffer("batches", torch.tensor(0))

    def samples(self, embeddings_EBD: Tensor) -> KeptSamples:
        """Return the samples to compare a batch with: none in the warm-up, and none from another number of exits."""
        num_exits, _, width = embeddings_EBD.shape
        if not self._fits(num_exits, width):
            return KeptSamples(embeddings_EBD.new_zeros(num_exits, 0, width), self.labels_Q[:0])
        labels_Q = torch.where(self.batches >= self.warmup_batches, self.labels_Q, EMPTY)
        return KeptSamples(self.embeddings_EQD.to(embeddings_EBD.dtype), labels_Q)

    @torch.no_grad()
    def push(self, embeddings_EBD: Tensor, labels_B: Tensor) -> None:
        """Add the samples of a batch; the oldest samples leave a full queue."""
        num_exits, _, width = embeddings_EBD.shape
        if not self._fits(num_exits, width):
            self.clear()
            self.embeddings_EQD = embeddings_EBD.new_zeros(num_exits, self.size, width)
        embeddings_EBD, labels_B = embeddings_EBD[:, -self.size :], labels_B[-self.size :]
        finite_B = embeddings_EBD.isfinite().all(dim=2).all(dim=0)
        places_B = (self.position + torch.arange(len(labels_B), device=self.position.device)) % self.size
        kept_EBD = torch.where(finite_B.unsqueeze(1), embeddings_EBD, 0.0)
        self.embeddings_EQD[:, places_B] = kept_EBD.to(self.embeddings_EQD.dtype)
        self.labels_Q[places_B] = torch.where(finite_B, labels_B, EMPTY)
        self.position.copy_((self.position + len(labels_B)) % self.size)
        self.batches += 1

    def clear(self) -> None:
        """Remove all samples. The warm-up does not start again."""
        self.labels_Q.fill_(EMPTY)
        self.position.zero_()

    def _fits(self, num_exits: int, width: int) -> bool:
        return self.embeddings_EQD.shape[0] == num_exits and self.embeddings_EQD.shape[2] == width

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        stored = state_dict.get(f"{prefix}embeddings_EQD")
        if stored is not None and stored.shape[1] == self.size:  # exits and width are known from the first batch on
            self.embeddings_EQD = torch.empty_like(stored, device=self.embeddings_EQD.device)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
