"""ACL-CL: oracle, teachers and students, detached gradients, bad input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import acl_cross_layer_oracle
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import ACLCrossLayer, BestExit, FixedExit, LastExit, NextExit, WeightedObjective
from acl_lightning.outputs import ExitOutputs

EXITS = 4


def best(exit_):
    """A `BestExit` for which exit `exit_` (from 0) was the best."""
    teacher = BestExit()
    teacher.after_validation(torch.eye(EXITS)[exit_])
    return teacher


#: Teacher -> the teacher of every exit, counted from 0; None: it has none.
TEACHERS = {
    "last": (LastExit(), [3, 3, 3, None]),
    "next": (NextExit(), [1, 2, 3, None]),
    "fixed": (FixedExit(3), [2, 2, None, None]),
    "best, before a validation": (BestExit(), [3, 3, 3, None]),
    "best": (best(1), [1, None, None, None]),
    "best is the first": (best(0), [None] * 4),
}


@pytest.mark.parametrize("name", TEACHERS)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 6), classes=st.integers(2, 4), tau=st.floats(0.01, 10))
@settings(max_examples=12, deadline=None)
def test_every_student_equals_the_slow_oracle(name, seed, batch, classes, tau):
    teacher, expected = TEACHERS[name]
    out, labels = outputs(seed, E=EXITS, B=batch, C=classes)
    found = ACLCrossLayer(tau, teacher).per_exit(out, labels)
    z, w = out.embeddings_EBD.tolist(), out.label_embeddings_ECD.tolist()
    for e, t in enumerate(expected):
        if t is None:
            assert found[e].item() == 0
        else:
            assert found[e].item() == pytest.approx(
                acl_cross_layer_oracle(z[e], z[t], labels.tolist(), w[t], tau), rel=1e-9
            )


@pytest.mark.parametrize("name", TEACHERS)
def test_only_students_get_a_gradient_with_a_detached_teacher(name):
    teacher, expected = TEACHERS[name]
    out, labels = outputs(E=EXITS)
    ACLCrossLayer(0.3, teacher).per_exit(out, labels).sum().backward()
    learns = [t is not None for t in expected]
    moved = [gradient.abs().max().item() > 0 for gradient in out.embeddings_EBD.grad]
    # `next`: an exit that teaches is a student too; its gradient is that of the student alone (next test).
    assert moved == learns
    assert out.label_embeddings_ECD.grad is None


def test_a_student_that_is_also_a_teacher_gets_the_gradient_of_a_student_only():
    out, labels = outputs(E=EXITS)
    ACLCrossLayer(0.3, NextExit()).per_exit(out, labels).sum().backward()
    alone, _ = outputs(E=EXITS)
    ACLCrossLayer(0.3, NextExit()).per_exit(alone, labels)[1].backward()
    torch.testing.assert_close(out.embeddings_EBD.grad[1], alone.embeddings_EBD.grad[1])


def test_without_detaching_the_teacher_and_its_label_embeddings_get_a_gradient():
    out, labels = outputs(E=EXITS)
    attached = ACLCrossLayer(0.3, detach=False).per_exit(out, labels)
    torch.testing.assert_close(attached, ACLCrossLayer(0.3).per_exit(out, labels))
    attached.sum().backward()
    assert all(gradient.abs().max() > 0 for gradient in out.embeddings_EBD.grad)
    assert [bool(gradient.abs().max() > 0) for gradient in out.label_embeddings_ECD.grad] == [False] * 3 + [True]


def test_students_can_be_listed():
    out, labels = outputs(E=EXITS)
    everyone = ACLCrossLayer(0.3).per_exit(out, labels)
    found = ACLCrossLayer(0.3, students=[1, 3]).per_exit(out, labels)
    torch.testing.assert_close(found, everyone * torch.tensor([1, 0, 1, 0]))


def test_the_loss_is_invariant_to_a_common_rotation_only():
    """One rotation of all exits leaves the loss; the contrast is between spaces, so a rotation of one changes it."""
    out, labels = outputs(E=2)
    generator = torch.Generator().manual_seed(2)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=generator))
    apart = torch.stack([out.embeddings_EBD[0] @ rotation, out.embeddings_EBD[1]])
    term = ACLCrossLayer()
    expected = term.per_exit(out, labels)
    turned = term.per_exit(ExitOutputs(apart, out.logits_EBC, out.label_embeddings_ECD), labels)
    assert abs(turned[0] - expected[0]) > 1e-3


def test_descending_moves_students_to_the_label_embeddings_of_the_teacher():
    out, labels = outputs(E=2, B=6)
    students = out.embeddings_EBD.detach()[0].clone().requires_grad_()
    deep, embeddings = out.label_embeddings_ECD.detach()[1], out.embeddings_EBD.detach()
    # The teacher has already aligned its samples.
    taught = torch.stack([embeddings[0], deep[labels]])
    optimizer = torch.optim.SGD([students], lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        now = torch.stack([students, taught[1]])
        ACLCrossLayer(0.3).per_exit(ExitOutputs(now, out.logits_EBC, out.label_embeddings_ECD), labels).sum().backward()
        optimizer.step()
    similarity = torch.cosine_similarity(students.unsqueeze(1), deep.unsqueeze(0), dim=-1)
    assert similarity.argmax(dim=1).tolist() == labels.tolist()


# -- the best exit -----------------------------------------------------------------------------------------------------


def test_the_best_exit_is_updated_at_every_validation_and_ties_go_to_the_deepest():
    exits = torch.arange(3)
    term = ACLCrossLayer(teacher=BestExit())
    chosen = []
    for quality in ([0.5, 0.9, 0.7], [0.8, 0.2, 0.8], [0.9, 0.2, 0.8]):
        term.after_validation(torch.tensor(quality))
        chosen.append(term.teacher(exits).tolist())
    assert chosen == [[1] * 3, [2] * 3, [0] * 3]


def test_the_best_exit_is_in_the_checkpoint():
    first, second = (
        WeightedObjective(ACLCrossLayer(teacher=best(1))),
        WeightedObjective(ACLCrossLayer(teacher=BestExit())),
    )
    second.load_state_dict(first.state_dict())
    assert second.auxiliary[0].teacher(torch.arange(EXITS)).tolist() == [1] * EXITS


def test_other_teachers_ignore_the_quality():
    for teacher in (LastExit(), NextExit(), FixedExit(2)):
        before = teacher(torch.arange(3)).tolist()
        teacher.after_validation(torch.tensor([1.0, 0.0, 0.0]))
        assert teacher(torch.arange(3)).tolist() == before
        assert teacher.state_dict() == {}


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings_", "num_exits", "message"),
    [
        ({}, 1, "at least 2 exits for acl_cl; found 1"),
        ({"teacher": FixedExit(4)}, 3, "a teacher exit from 2 to 3, above at least one student; found 4"),
        ({"teacher": FixedExit(1)}, 3, "a teacher exit from 2 to 3, above at least one student; found 1"),
        ({"teacher": FixedExit(2), "students": [2]}, 3, "a teacher above the student exit 2; found exit 2"),
        ({"teacher": FixedExit(2), "students": [1, 3]}, 3, "a teacher above the student exit 3; found exit 2"),
        ({"students": [3]}, 3, "a teacher above the student exit 3; found exit 3 as its teacher"),
        ({"teacher": NextExit(), "students": [3]}, 3, "a teacher above the student exit 3"),
        ({"teacher": BestExit(), "students": [3]}, 3, "a teacher above the student exit 3"),
        ({"students": [4]}, 3, "student exits from 1 to 3; found 4"),
        ({"students": [0]}, 3, "student exits from 1 to 3; found 0"),
    ],
)
def test_impossible_teachers_and_students_are_refused_before_training(settings_, num_exits, message):
    with pytest.raises(UserError, match=message):
        WeightedObjective(ACLCrossLayer(**settings_)).check(classes=True, num_exits=num_exits)


def test_settings_that_fit_no_model_are_refused_at_once():
    with pytest.raises(UserError, match="a teacher exit >= 1; found 0"):
        FixedExit(0)
    with pytest.raises(UserError, match="at least one student exit; found an empty list"):
        ACLCrossLayer(students=[])


def test_listed_students_below_their_teacher_are_accepted():
    WeightedObjective(ACLCrossLayer(teacher=FixedExit(3), students=[1, 2])).check(classes=True, num_exits=3)
