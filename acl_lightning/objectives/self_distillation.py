"""Self-distillation from the last exit: the multi-exit baseline of RomeBERT (Geng et al., 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from acl_lightning.objectives.base import Term
from acl_lightning.objectives.similarity import check_temperature
from acl_lightning.outputs import ExitOutputs


def distillation(logits_EBC: Tensor, teacher_BC: Tensor, temperature: float) -> Tensor:
    """`T^2 KL(softmax(teacher / T) || softmax(logits / T))`, mean over the batch, at every exit.

    The factor keeps the size of the gradient independent of T (Hinton et al., 2015).

    Returns:
        (E,) in nats times T^2.
    """
    log_student_EBC = (logits_EBC / temperature).log_softmax(dim=-1)
    log_teacher_EBC = (teacher_BC / temperature).log_softmax(dim=-1).expand_as(log_student_EBC)
    divergence_EBC = F.kl_div(log_student_EBC, log_teacher_EBC, reduction="none", log_target=True)
    return temperature**2 * divergence_EBC.sum(dim=-1).mean(dim=1)


class SelfDistillation(Term):
    """Every exit learns the answers of the last exit, which learns the labels.

    Exits 1 to E - 1: `distillation` from the last exit, whose logits are detached. The last exit has no teacher but the
    labels, so its loss is the cross-entropy: in the convex total `(1 - g) CE + g term` the students then have
    `(1 - g) CE + g T^2 KL` and the last exit plain CE. The form and g = 0.9, T = 3 are RomeBERT's; the last exit's loss
    is our reading.

    Args:
        temperature: T > 0.

    Raises:
        UserError: the temperature is not positive.
    """

    name = "self_distillation"
    min_exits = 2

    def __init__(self, temperature: float = 3.0) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature, usual="The usual value is 3.")

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """(E,) in nats, times T^2 for all but the last."""
        last_BC = outputs.logits_EBC[-1]
        students_E = distillation(outputs.logits_EBC[:-1], last_BC.detach(), self.temperature)
        return torch.cat([students_E, F.cross_entropy(last_BC, labels_B).unsqueeze(0)])
