"""Cross-entropy, and its counterpart for regression: the protected terms."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.objectives.base import Term
from acl_lightning.outputs import ExitOutputs


class CrossEntropy(Term):
    r"""Mean over the batch of `-log softmax(logits)[label]`, at every exit.

    With smoothed labels and weighted classes:

    .. math:: \frac{\sum_b (1 - s)\, w_{y_b} \ell_{b, y_b} + \frac{s}{C} \sum_{b, c} w_c\, \ell_{b, c}}{\sum_b w_{y_b}},
              \qquad \ell_{b, c} = -\log \mathrm{softmax}(\mathrm{logits}_b)_c

    This is `torch.nn.functional.cross_entropy` with `weight` and `label_smoothing`. A batch in which every label has
    weight 0 gives 0 with a zero gradient. The mean is that of one batch: with weights, the average over micro-batches
    or processes is not the weighted mean over all of their samples, unless they have equal sums of weights.

    Args:
        label_smoothing: s in [0, 1).
        class_weights: w, one number >= 0 per class in the order of the label names, not all zero; or "balanced":
            `n / (C n_c)` from the counts of the training data, so that every class counts alike. A class that has no
            training sample gets 0. None: all 1.

    Raises:
        UserError: a value out of range; when the number of classes is known, another number of weights; "balanced" in
            a loss that was not told the counts.
    """

    name = "cross_entropy"

    def __init__(
        self, label_smoothing: float = 0.0, class_weights: list[float] | Literal["balanced"] | None = None
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise UserError("a label_smoothing in [0, 1)", f"{label_smoothing}", "Usual values are 0 and 0.1.")
        if isinstance(class_weights, str) and class_weights != "balanced":
            raise UserError('a list of class weights, "balanced" or null', f"{class_weights!r}", "Choose one of them.")
        self.label_smoothing = label_smoothing
        self.balanced = class_weights == "balanced"
        self.weights_C: Tensor | None
        # Not in checkpoints: given by the configuration, or by the data.
        self.register_buffer("weights_C", None, persistent=False)
        if isinstance(class_weights, list):
            if any(not math.isfinite(w) or w < 0 for w in class_weights) or sum(class_weights) <= 0:
                raise UserError(
                    "class weights >= 0, at least one positive", f"{class_weights}", "Give one number per class."
                )
            self.weights_C = torch.tensor(class_weights)

    def prepare(self, class_counts_C: Tensor) -> None:
        """Balance the classes, or check that there is a weight for each.

        Raises:
            UserError: another number of weights than of classes.
        """
        if not self.balanced:
            return self._check_number(len(class_counts_C))
        share_C = class_counts_C.sum() / (len(class_counts_C) * class_counts_C.clamp(min=1))
        self.weights_C = torch.where(class_counts_C > 0, share_C, 0.0)
        return None

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """(E,) in nats."""
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
        if weights_C is None:
            return losses_EB.mean(dim=1)
        total = weights_C[labels_B].sum()
        # Not 0 / 0: smoothing leaves something in the numerator even where the labels count nothing.
        return losses_EB.sum(dim=1) * torch.where(total > 0, 1 / torch.where(total > 0, total, 1.0), 0.0)

    def _check_number(self, num_classes: int) -> None:
        if self.balanced and self.weights_C is None:
            raise UserError(
                "the counts of the training data for balanced class weights", "none", "Call prepare(class_counts)."
            )
        if self.weights_C is not None and len(self.weights_C) != num_classes:
            raise UserError(
                f"{num_classes} class weights, one per class", f"{len(self.weights_C)}", "Give one number per class."
            )


class SquaredError(Term):
    """Mean over the batch of `(output - label)^2`, at every exit: the protected term of a regression (STS-B)."""

    name = "squared_error"
    needs_classes = False
    needs_values = True

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """(E,) in squared label units."""
        return (outputs.logits_EBC.squeeze(-1) - labels_B).square().mean(dim=1)
