"""Every term in three lines of plain torch, as in the docstring of the package."""

from dataclasses import replace

import pytest
import torch
from random_outputs import outputs

import acl_lightning.objectives as package
from acl_lightning.objectives import ACLEmbed, CrossEntropy, SquaredError, Term, WeightedObjective

TERMS = sorted(
    name for name in package.__all__ if isinstance(found := getattr(package, name), type) and issubclass(found, Term)
)


def test_the_lines_of_the_docstring_run():
    lines = [line.strip() for line in (package.__doc__ or "").splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    out, labels = outputs()
    names = {name: getattr(package, name) for name in package.__all__} | {"ExitOutputs": type(out)}
    values = {"embeddings_EBD": out.embeddings_EBD, "logits_EBC": out.logits_EBC}
    values |= {"label_embeddings_ECD": out.label_embeddings_ECD, "labels_B": labels}
    exec("\n".join(lines), names | values)
    assert out.embeddings_EBD.grad.abs().max() > 0


@pytest.mark.parametrize("name", [name for name in TERMS if name not in ("Term", "SquaredError")])
def test_every_term_trains_with_its_defaults(name):
    assert name in (package.__doc__ or "")
    out, labels = outputs(dtype=torch.float32)
    if name == "GateCorrectness":
        out = replace(out, gates_EB=torch.zeros(3, 8, requires_grad=True))
    if name == "RDrop":
        out = replace(out, views=2)
    parts = ([CrossEntropy(), ACLEmbed()], [1.0, 1.0]) if name == "SumOfTerms" else ()
    term = getattr(package, name)(*parts)
    protected = name in ("CrossEntropy", "SumOfTerms")
    objective = WeightedObjective(protected=term) if protected else WeightedObjective(term)
    sum(objective(out, labels).values()).backward()
    assert out.logits_EBC.grad.abs().max() > 0


def test_regression_trains_with_its_defaults():
    out, _ = outputs(C=1)
    sum(WeightedObjective(protected=SquaredError())(out, torch.rand(8)).values()).backward()
    assert out.logits_EBC.grad.abs().max() > 0
