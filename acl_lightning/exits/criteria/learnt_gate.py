"""Exit by a learnt gate, which predicts whether the prediction of an exit is correct."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.distribution import BELOW_ONE, BoundedCriterion


class LearntGate(BoundedCriterion):
    """BERxiT's learning to exit: `certainty = sigmoid(gate logit)`, the probability that the exit is correct.

    The gate is a linear map that all exits share (`MultiExitEncoder.gates`), trained by the term `GateCorrectness`.
    BERxiT's default threshold is 0.5. It cannot read a regression, where no prediction is exactly correct. Source: Xin
    et al., "BERxiT: Early Exiting for BERT with Better Fine-Tuning and Extension to Regression", EACL 2021.

    >>> import torch
    >>> gate = LearntGate()
    >>> gate.certainty(gate.inputs(torch.zeros(2, 1, 3), gates_EB=torch.tensor([[0.0], [2.0]])))
    tensor([[0.5000],
            [0.8808]])
    """

    name = "learnt_gate"

    def inputs(self, logits_EBC: Tensor, gates_EB: Tensor | None, cosines_EBC: Tensor | None = None) -> Tensor:
        """Return the gate's logits (E, B), NaN where a class logit of the exit is not finite.

        Raises:
            UserError: The model has no gate.
        """
        if gates_EB is None:
            raise _no_gate()
        return gates_EB.masked_fill(~logits_EBC.isfinite().all(dim=-1), torch.nan)

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return certainties (E, B) in [0, 1) of gate logits (E, B), or -inf where one is not finite.

        The sigmoid is computed in float64 and rounded to float32. In float32 its vectorised and its scalar kernel
        differ by one rounding step, so the certainty of a sample would depend on its position in the batch.
        """
        gates_EB = logits_EBC
        wide_EB = gates_EB.float() if gates_EB.device.type == "mps" else gates_EB.double()  # MPS has no float64
        certainty_EB = wide_EB.sigmoid().float().clamp(0.0, BELOW_ONE)
        return certainty_EB.masked_fill(~gates_EB.isfinite(), -torch.inf)


def check_gate(criteria: Iterable[Criterion]) -> None:
    """Raise `UserError` if one of the criteria reads a gate; for models without a gate."""
    if any(criterion.name == LearntGate.name for criterion in criteria):
        raise _no_gate()


def _no_gate() -> UserError:
    return UserError(
        "a model with a learnt gate",
        "one without",
        "Train with --config conf/objective/learnt_gate.yaml (model.encoder.learnt_gate=true and its term), "
        "or use another criterion.",
    )
