"""Loss of the learnt gate, which predicts whether an exit is right (BERxiT, Xin et al., EACL 2021)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.objectives.terms.base import Term
from acl_lightning.outputs import ExitOutputs


class GateCorrectness(Term):
    """Binary cross-entropy between the gate and "the prediction of this exit is right", averaged over the batch.

    `-r ln s - (1 - r) ln(1 - s)` at every exit, with s = sigmoid(gate logit), and r = 1 if the argmax of the exit's
    logits is the label, else 0. BERxiT uses `(s - r)^2` for the same target. The cross-entropy is our choice: its
    minimum is the same probability, and its gradient does not vanish where a confident gate is wrong.

    The inputs of the gate are detached and r has no gradient, so this term reaches only the parameters of the gate. It
    shares none with other terms: its inner product with the protected gradient is zero, and no rule discards it.
    """

    name = "gate_correctness"
    trains_gate = True

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), in nats.

        Raises:
            UserError: The model has no gate.
        """
        if outputs.gates_EB is None:
            raise UserError(
                f"a model with a learnt gate for {self.name}",
                "a model without",
                "Set model.encoder.learnt_gate to true.",
            )
        right_EB = (outputs.logits_EBC.argmax(dim=-1) == labels_B).to(outputs.gates_EB)
        return F.binary_cross_entropy_with_logits(outputs.gates_EB, right_EB, reduction="none").mean(dim=1)
