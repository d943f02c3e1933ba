"""Exit by the entropy of the class distribution and the margin of the cosines with the label embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.distribution import BELOW_ONE, NEAR_ONE, BoundedCriterion, log_probabilities
from acl_lightning.exits.criteria.entropy import normalised_entropy

#: Weights that a sweep measures: 4 x 142 points. The weight 0 is the criterion `Entropy`.
WEIGHTS = [0.25, 0.5, 0.75, 1.0]


class PrototypeMargin(BoundedCriterion):
    """Mean of the negentropy and the margin of the cosines with the label embeddings.

    `certainty = (1 - w) (1 - H(p) / ln C) + w (2 + m) / 4`, where `m = cos(h, e_y) - max_{c != y} cos(h, e_c)`, in
    [-2, 2], is the margin of the predicted class y = argmax p, h the input of the exit's classifier and e_c the label
    embedding of class c at this exit: the classifier's weight rows, or the separate parameters. The margin is below 0
    where another label embedding is nearer than that of the prediction. Contrastive training with label embeddings
    (ACL-Embed, ACF) makes them prototypes of their classes.

    Our reading: DE3-BERT (He et al., arXiv 2402.05948) supplements the entropy by distances to class prototypes, as the
    harmonic mean with a ratio of Euclidean distances to learnt prototypes. Label embeddings as prototypes, the cosine,
    the margin and the arithmetic mean are ours.

    >>> import torch
    >>> criterion = PrototypeMargin(weight=0.5)
    >>> logits, cosines = torch.tensor([[[0.0, 2.0]], [[0.0, 2.0]]]), torch.tensor([[[0.5, 0.5]], [[-0.9, 0.9]]])
    >>> criterion.certainty(criterion.inputs(logits, None, cosines))
    tensor([[0.4865],
            [0.7115]])
    """

    name = "prototype_margin"
    reads_cosines: ClassVar[bool] = True

    def __init__(self, weight: float | None = None) -> None:
        """Set the weight of the margin.

        Args:
            weight: Weight w of the margin of the cosines, in (0, 1]; 1 leaves the entropy out. None: 0.5, and a sweep
                measures all of `WEIGHTS`.

        Raises:
            UserError: The weight is out of range.
        """
        if weight is not None and not 0 < weight <= 1:
            raise UserError(
                "a weight of prototype_margin in (0, 1]",
                f"{weight}",
                "Set weight to 0.5, for example; for 0, use the criterion entropy.",
            )
        self.weight = weight

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """Return this criterion, or one criterion per value of `WEIGHTS` if the weight is None."""
        return [PrototypeMargin(weight) for weight in WEIGHTS] if self.weight is None else [self]

    def inputs(self, logits_EBC: Tensor, gates_EB: Tensor | None, cosines_EBC: Tensor | None = None) -> Tensor:
        """Return (E, B, 2): the negentropy, and the margin of the cosines scaled to [0, 1].

        Raises:
            UserError: There are no cosines, or C = 1: a regression has no classes.
        """
        log_p_EBC = log_probabilities(logits_EBC, self.name)
        if cosines_EBC is None:
            raise UserError(
                "cosines with the label embeddings in the exit logits",
                "none",
                "Validate the run again with --config exits/prototype_margin.yaml, or use another criterion.",
            )
        predicted_EB1 = logits_EBC.argmax(dim=-1, keepdim=True)
        own_EB = cosines_EBC.gather(-1, predicted_EB1).squeeze(-1)
        best_EB = cosines_EBC.scatter(-1, predicted_EB1, -torch.inf).amax(dim=-1)
        margin_EB = (2.0 + own_EB - best_EB) / 4.0
        finite_EB = logits_EBC.isfinite().all(dim=-1) & cosines_EBC.isfinite().all(dim=-1)
        parts_EB2 = torch.stack([1.0 - normalised_entropy(log_p_EBC), margin_EB.float()], dim=-1)
        return parts_EB2.masked_fill(~finite_EB.unsqueeze(-1), torch.nan)

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return certainties (E, B) in [0, 1) of the two parts (E, B, 2), or -inf where a part is not finite."""
        negentropy_EB, margin_EB = logits_EBC.unbind(dim=-1)
        weight = 0.5 if self.weight is None else self.weight
        certainty_EB = ((1.0 - weight) * negentropy_EB + weight * margin_EB).clamp(0.0, BELOW_ONE)
        return certainty_EB.masked_fill(certainty_EB.isnan(), -torch.inf)

    def thresholds(self, num_exits: int) -> list[float]:
        """Return 142 values: 0 to 0.98 by 0.01, 0.987 to 0.999999 by equal ratios of the distance to 1, and 1."""
        return [*(round(0.01 * step, 2) for step in range(99)), *(value for value in NEAR_ONE if value > 0.985), 1.0]
