"""Cross-entropy with label smoothing and class weights: the protected term of a classification."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.sample_weights import SampleWeights
from acl_lightning.outputs import ExitOutputs

#: A weight per class, weights computed from the class counts, or no weights.
ClassWeights = list[float] | Literal["balanced"] | None


class CrossEntropy(Term):
    r"""Mean of `-log softmax(logits)[label]` over the batch, at every exit.

    With smoothed labels and weighted classes:

    .. math:: \frac{\sum_b (1 - s)\, w_{y_b} \ell_{b, y_b} + \frac{s}{C} \sum_{b, c} w_c\, \ell_{b, c}}{\sum_b w_{y_b}},
              \qquad \ell_{b, c} = -\log \mathrm{softmax}(\mathrm{logits}_b)_c

    This is `torch.nn.functional.cross_entropy` with `weight` and `label_smoothing`. A batch in which every label has
    weight 0 gives 0 with a zero gradient. The mean is taken over a single batch: with class weights, the average over
    micro-batches or processes equals the weighted mean over all their samples only if their sums of weights are equal.

    Args:
        label_smoothing: Smoothing s in [0, 1). Default: no smoothing.
        class_weights: Weights w, a number >= 0 per class in the order of the label names, not all zero. "balanced":
            `n / (C n_c)` from the class counts of the training data, so that every class has the same total weight; a
            class without training samples gets 0. Default (None): all weights are 1.
        sample_weights: Weights of the samples at every exit, by which numerator and denominator are multiplied.
            Default (None): all weights are 1.

    Raises:
        UserError: A value is out of range. In `prepare` and `per_exit`: the number of weights differs from the number
            of classes. In `per_exit`: "balanced" before `prepare` was called.
    """

    name = "cross_entropy"

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        sample_weights: SampleWeights | None = None,
    ) -> None:
        super().__init__()
        self.sample_weights = sample_weights
        if not 0 <= label_smoothing < 1:
            raise UserError(
                "a label_smoothing in [0, 1)", f"{label_smoothing}", "Set label_smoothing to 0 (none) or 0.1."
            )
        if isinstance(class_weights, str) and class_weights != "balanced":
            raise UserError(
                'a list of class weights, "balanced" or null', f"{class_weights!r}", "Set class_weights to balanced."
            )
        self.label_smoothing = label_smoothing
        self.balanced = class_weights == "balanced"
        self.weights_C: Tensor | None
        # Not in checkpoints: the configuration or the training data determine the weights.
        self.register_buffer("weights_C", None, persistent=False)
        if isinstance(class_weights, list):
            if any(not math.isfinite(w) or w < 0 for w in class_weights) or sum(class_weights) <= 0:
                raise UserError(
                    "class weights >= 0, at least one positive",
                    f"{class_weights}",
                    "Set class_weights to a number per class, or to balanced.",
                )
            self.weights_C = torch.tensor(class_weights)

    def prepare(self, class_counts_C: Tensor) -> None:
        """Compute balanced weights, or check that there is a weight for every class.

        Raises:
            UserError: The number of weights differs from the number of classes.
        """
        if not self.balanced:
            return self._check_number(len(class_counts_C))
        share_C = class_counts_C.sum() / (len(class_counts_C) * class_counts_C.clamp(min=1))
        self.weights_C = torch.where(class_counts_C > 0, share_C, 0.0)
        return None

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), in nats."""
        logits_EBC = outputs.logits_EBC
        labels_EB = labels_B.expand(logits_EBC.shape[0], -1)
        self._check_number(logits_EBC.shape[-1])
        weights_C = None if self.weights_C is None else self.weights_C.to(logits_EBC)
        losses = F.cross_entropy(
            logits_EBC.flatten(0, 1),
            labels_EB.flatten(),
            weight=weights_C,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        losses_EB = losses.view_as(labels_EB)
        if weights_C is None and self.sample_weights is None:
            return losses_EB.mean(dim=1)
        total_E = torch.ones_like(losses_EB) if weights_C is None else weights_C[labels_EB]
        if self.sample_weights is not None:
            weights_EB = self.sample_weights(logits_EBC)
            losses_EB, total_E = losses_EB * weights_EB, total_E * weights_EB
        total_E = total_E.sum(dim=1)
        # With smoothing the numerator is positive even where all labels have weight 0: avoid a division by zero.
        return losses_EB.sum(dim=1) * torch.where(total_E > 0, 1 / torch.where(total_E > 0, total_E, 1.0), 0.0)

    def _check_number(self, num_classes: int) -> None:
        if self.balanced and self.weights_C is None:
            raise UserError(
                "the class counts of the training data for balanced class weights",
                "none",
                "Call prepare(class_counts) before the first batch.",
            )
        if self.weights_C is not None and len(self.weights_C) != num_classes:
            raise UserError(
                f"{num_classes} class weights, one per class",
                f"{len(self.weights_C)}",
                "Set class_weights to a number per class, or to balanced.",
            )
