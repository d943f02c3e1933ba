"""Teaching the learnt gate to know when an exit is right."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.objectives.base import Term
from acl_lightning.outputs import ExitOutputs


class GateCorrectness(Term):
    """Mean over the batch of the binary cross-entropy of the gate with "this exit's answer is right", at every exit.

    `-r ln s - (1 - r) ln(1 - s)`, with s = sigmoid(gate logit) and r = 1 where the argmax of the exit's logits is the
    label, else 0. BERxiT (Xin et al., EACL 2021) takes `(s - r)^2` for the same target; the cross-entropy is our
    choice: its minimum is the same probability, and its gradient does not vanish where the gate is surely wrong.

    The gate reads detached vectors and r has no gradient, so that this term reaches the gate's own parameters alone: it
    shares none with any other term, its inner product with the protected gradient is zero, and no rule discards it.
    """

    name = "gate_correctness"
    trains_gate = True

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """(E,) in nats.

        Raises:
            UserError: the model has no gate.
        """
        if outputs.gates_EB is None:
            raise UserError(
                f"a model with a learnt gate for {self.name}", "one without", "Set model.encoder.learnt_gate to true."
            )
        right_EB = (outputs.logits_EBC.argmax(dim=-1) == labels_B).to(outputs.gates_EB)
        return F.binary_cross_entropy_with_logits(outputs.gates_EB, right_EB, reduction="none").mean(dim=1)
