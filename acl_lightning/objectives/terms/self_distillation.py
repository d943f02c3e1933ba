"""Self-distillation from the last exit (RomeBERT, Geng et al., 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.contrastive.similarity import check_temperature
from acl_lightning.outputs import ExitOutputs


def distillation(logits_EBC: Tensor, teacher_BC: Tensor, temperature: float) -> Tensor:
    """Return `T^2 KL(softmax(teacher / T) || softmax(logits / T))`, averaged over the batch, for every exit: (E,).

    The factor T^2 makes the size of the gradient independent of T (Hinton et al., 2015).

    Args:
        logits_EBC: Logits of the students.
        teacher_BC: Logits of the teacher.
        temperature: Temperature T > 0.
    """
    log_student_EBC = (logits_EBC / temperature).log_softmax(dim=-1)
    log_teacher_EBC = (teacher_BC / temperature).log_softmax(dim=-1).expand_as(log_student_EBC)
    divergence_EBC = F.kl_div(log_student_EBC, log_teacher_EBC, reduction="none", log_target=True)
    return temperature**2 * divergence_EBC.sum(dim=-1).mean(dim=1)


class SelfDistillation(Term):
    """Distillation from the last exit, which is trained on the labels, into all other exits.

    Exits 1 to E - 1 have the loss `distillation` with the detached logits of the last exit as the teacher. The last
    exit has no teacher and is trained with cross-entropy. In the convex total `(1 - g) CE + g term` the students
    therefore have `(1 - g) CE + g T^2 KL` and the last exit plain CE. The form and g = 0.9, T = 3 are RomeBERT's; the
    loss of the last exit is our reading.

    Args:
        temperature: Temperature T > 0.

    Raises:
        UserError: The temperature is not positive.
    """

    name = "self_distillation"
    min_exits = 2

    def __init__(self, temperature: float = 3.0) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature, usual=3.0)

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), in nats, times T^2 for all but the last exit."""
        last_BC = outputs.logits_EBC[-1]
        students_E = distillation(outputs.logits_EBC[:-1], last_BC.detach(), self.temperature)
        return torch.cat([students_E, F.cross_entropy(last_BC, labels_B).unsqueeze(0)])
