"""ACL-CL: a deeper exit guides the shallower ones through the contrast (Li & Zhu, arXiv 2602.03563)."""

from __future__ import annotations

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.objectives.base import Term
from acl_lightning.objectives.similarity import check_temperature, contrastive_loss
from acl_lightning.objectives.teachers import LastExit, Teacher
from acl_lightning.outputs import ExitOutputs


def acl_cross_layer(
    students_EBD: Tensor, labels_B: Tensor, teachers_EBD: Tensor, label_embeddings_ECD: Tensor, temperature: float
) -> Tensor:
    """Contrast every student's samples with its teacher's samples and label embeddings.

    Anchors are the student's samples. The pool is the teacher's view of every sample of the batch and the teacher's
    label embeddings. Positives: what has the anchor's label, its own sample as the teacher sees it included; so every
    anchor has at least two. Our reading: the paper states the idea in words and gives no formula in what we could read.

    Args:
        students_EBD: samples as each student exit sees them.
        labels_B: their classes, 0 <= label < C.
        teachers_EBD: the same samples as each student's teacher sees them.
        label_embeddings_ECD: those of each student's teacher.
        temperature: tau > 0.

    Returns:
        (E,) in nats.
    """
    num_classes = label_embeddings_ECD.shape[1]
    pool_EPD = torch.cat([teachers_EBD, label_embeddings_ECD.to(teachers_EBD.dtype)], dim=1)
    labels_P = torch.cat([labels_B, torch.arange(num_classes, device=labels_B.device, dtype=labels_B.dtype)])
    positives_BP = labels_B.unsqueeze(1) == labels_P.unsqueeze(0)
    return contrastive_loss(students_EBD, pool_EPD, positives_BP, torch.ones_like(positives_BP), temperature)


class ACLCrossLayer(Term):
    """ACL-CL: every exit that has a teacher learns from it; see `acl_cross_layer` for the formula.

    An exit without a teacher, and one that is no student, has loss 0.

    Args:
        temperature: tau > 0.
        teacher: which exit teaches which. Default: the last exit teaches all others.
        students: numbers of the exits that are taught, the shallowest is 1. None: all that have a teacher.
        detach: whether the teacher learns nothing from its students (the default); off, gradients flow into the
            teacher's samples and label embeddings too.

    Raises:
        UserError: the temperature is not positive, or no student is listed. In `check_exits`: one exit alone, a teacher
            or a student that does not exist, or a student without a teacher above it.
    """

    name = "acl_cl"
    min_exits = 2

    def __init__(
        self,
        temperature: float = 0.3,
        teacher: Teacher | None = None,
        students: list[int] | None = None,
        detach: bool = True,
    ) -> None:
        super().__init__()
        if students is not None and not students:
            raise UserError("at least one student exit", "an empty list", "Give null for all exits below the teacher.")
        self.temperature = check_temperature(temperature)
        self.teacher = teacher or LastExit()
        self.students = students
        self.detach = detach

    def check_exits(self, num_exits: int) -> None:
        """See the class. `BestExit` is checked as before its first validation, with the last exit as the teacher."""
        super().check_exits(num_exits)
        self.teacher.check_exits(num_exits)
        teachers = self.teacher(torch.arange(num_exits)).tolist()
        for student in self.students or []:
            if not 1 <= student <= num_exits:
                raise UserError(f"student exits from 1 to {num_exits}", f"{student}", "Exits are counted from 1.")
            if teachers[student - 1] < student:
                raise UserError(
                    f"a teacher above the student exit {student}",
                    f"exit {teachers[student - 1] + 1} as its teacher",
                    "Change the term's teacher or students.",
                )

    def after_validation(self, quality_E: Tensor) -> None:
        """Let the teacher know."""
        self.teacher.after_validation(quality_E)

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """(E,) in nats."""
        exits_E = torch.arange(outputs.num_exits, device=outputs.embeddings_EBD.device)
        teachers_E = self.teacher(exits_E)
        taught = outputs.detached() if self.detach else outputs
        loss_E = acl_cross_layer(
            outputs.embeddings_EBD,
            labels_B,
            taught.embeddings_EBD[teachers_E],
            taught.label_embeddings_ECD[teachers_E],
            self.temperature,
        )
        learns_E = teachers_E > exits_E
        if self.students is not None:
            learns_E &= sum(exits_E == student - 1 for student in self.students) > 0
        return torch.where(learns_E, loss_E, 0.0)
