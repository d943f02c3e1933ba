"""ACL-CL: contrastive loss between a shallow exit and a deeper exit as its teacher (Li & Zhu, arXiv 2602.03563)."""

from __future__ import annotations

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.contrastive.similarity import check_temperature, contrastive_loss
from acl_lightning.objectives.terms.contrastive.teachers import LastExit, Teacher
from acl_lightning.outputs import ExitOutputs


def acl_cross_layer(
    students_EBD: Tensor, labels_B: Tensor, teachers_EBD: Tensor, label_embeddings_ECD: Tensor, temperature: float
) -> Tensor:
    """Return the contrastive loss between the samples at every student exit and those at its teacher: (E,), in nats.

    Anchors are the representations at the student. The pool contains the representations of all samples of the batch at
    the teacher and the label embeddings of the teacher. Positives are the members of the pool with the class of the
    anchor, including the same sample at the teacher; every anchor therefore has at least two. The formula is our
    reading: the text of the paper available to us describes the idea in words.

    Args:
        students_EBD: Representations at each student exit.
        labels_B: Class of every sample, 0 <= label < C.
        teachers_EBD: Representations of the same samples at the teacher of each student.
        label_embeddings_ECD: Label embeddings of the teacher of each student.
        temperature: Temperature tau > 0.
    """
    num_classes = label_embeddings_ECD.shape[1]
    pool_EPD = torch.cat([teachers_EBD, label_embeddings_ECD.to(teachers_EBD.dtype)], dim=1)
    labels_P = torch.cat([labels_B, torch.arange(num_classes, device=labels_B.device, dtype=labels_B.dtype)])
    positives_BP = labels_B.unsqueeze(1) == labels_P.unsqueeze(0)
    return contrastive_loss(students_EBD, pool_EPD, positives_BP, torch.ones_like(positives_BP), temperature)


class ACLCrossLayer(Term):
    """ACL-CL at every exit that has a teacher; see `acl_cross_layer` for the formula.

    Exits without a teacher, and exits that are not among the students, have loss 0.

    Args:
        temperature: Temperature tau > 0.
        teacher: Assignment of teachers to exits. Default: `LastExit`, the last exit is the teacher of all others.
        students: Numbers of the student exits, counted from 1, the shallowest. Default (None): all with a teacher.
        detach: Whether the teacher gets no gradient from its students. If false, gradients also reach the
            representations and label embeddings of the teacher.

    Raises:
        UserError: The temperature is not positive, or `students` is an empty list. In `check_exits`: a single exit, a
            teacher or a student that does not exist, or a student without a deeper teacher.
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
            raise UserError(
                "at least one student exit", "an empty list", "Set students to null for all exits below the teacher."
            )
        self.temperature = check_temperature(temperature)
        self.teacher = teacher or LastExit()
        self.students = students
        self.detach = detach

    def check_exits(self, num_exits: int) -> None:
        """Check teacher and students; the teacher of `BestExit` is the last exit, as before the first validation."""
        super().check_exits(num_exits)
        self.teacher.check_exits(num_exits)
        teachers = self.teacher(torch.arange(num_exits)).tolist()
        for student in self.students or []:
            if not 1 <= student <= num_exits:
                raise UserError(
                    f"student exits from 1 to {num_exits}",
                    f"{student}",
                    "Remove it from students, or set students to null.",
                )
            if teachers[student - 1] < student:
                raise UserError(
                    f"a teacher above the student exit {student}",
                    f"exit {teachers[student - 1] + 1} as its teacher",
                    "Remove it from students, or set teacher to LastExit.",
                )

    def after_validation(self, quality_E: Tensor) -> None:
        """Pass the quality of every exit to the teacher."""
        self.teacher.after_validation(quality_E)

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), in nats."""
        exits_E = torch.arange(outputs.num_exits, device=outputs.embeddings_EBD.device)
        teachers_E = self.teacher(exits_E)
        sources = outputs.detached() if self.detach else outputs
        loss_E = acl_cross_layer(
            outputs.embeddings_EBD,
            labels_B,
            sources.embeddings_EBD[teachers_E],
            sources.label_embeddings_ECD[teachers_E],
            self.temperature,
        )
        learns_E = teachers_E > exits_E
        if self.students is not None:
            learns_E &= sum(exits_E == student - 1 for student in self.students) > 0
        return torch.where(learns_E, loss_E, 0.0)
