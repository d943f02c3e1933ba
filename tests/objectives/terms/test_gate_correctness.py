"""The term of the gate: value, parameters it reaches, and requirements."""

import math

import pytest
import torch

from acl_lightning.encoders import EncoderConfig
from acl_lightning.errors import UserError
from acl_lightning.gradients import ACLGrad, autograd_rows, products_with_protected
from acl_lightning.objectives import ACLEmbed, GateCorrectness, WeightedObjective
from acl_lightning.outputs import ExitOutputs


def outputs(gates_EB, logits_EBC):
    exits, batch, classes = logits_EBC.shape
    return ExitOutputs(torch.zeros(exits, batch, 4), logits_EBC, torch.zeros(exits, classes, 4), gates_EB)


def test_the_loss_is_the_binary_cross_entropy_with_correctness():
    logits_EBC = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [0.0, 1.0]]])
    gates_EB = torch.tensor([[0.3, -1.2], [2.0, 0.0]])
    labels_B = torch.tensor([0, 1])  # exit 1 is right twice, exit 2 about the second sample only
    right = [[1, 1], [0, 1]]
    for exit_, loss in enumerate(GateCorrectness().per_exit(outputs(gates_EB, logits_EBC), labels_B).tolist()):
        sure = [1 / (1 + math.exp(-gate)) for gate in gates_EB[exit_].tolist()]
        expected = sum(-math.log(s if r else 1 - s) for s, r in zip(sure, right[exit_], strict=True)) / 2
        assert loss == pytest.approx(expected)


@pytest.mark.parametrize("gate", [-1e4, 1e4])
def test_a_confident_wrong_gate_has_a_finite_loss_and_gradient(gate):
    gates_EB = torch.full((2, 1), gate, requires_grad=True)
    logits_EBC = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    loss_E = GateCorrectness().per_exit(outputs(gates_EB, logits_EBC), torch.tensor([0 if gate < 0 else 1]))
    loss_E.sum().backward()
    assert loss_E.isfinite().all()
    assert gates_EB.grad[0].abs() == 1  # what a squared error would lose


def encoder_and_rows(tiny_backbone):
    torch.manual_seed(0)
    encoder = EncoderConfig(tiny_backbone, learnt_gate=True).build(2)
    ids = torch.randint(1000, 9000, (6, 7))
    terms = WeightedObjective([ACLEmbed(), GateCorrectness()])(encoder(ids, torch.ones_like(ids)), torch.arange(6) % 2)
    named = list(encoder.named_parameters())
    return named, autograd_rows(list(terms.values()), [parameter for _, parameter in named])


def test_it_reaches_the_gate_alone_and_no_rule_discards_it(tiny_backbone):
    named, rows = encoder_and_rows(tiny_backbone)
    reached = [{name for (name, _), gradient in zip(named, row, strict=True) if gradient is not None} for row in rows]
    assert reached[2] == {"gate.weight", "gate.bias"}
    assert not reached[2] & (reached[0] | reached[1])
    products_K = products_with_protected(rows)
    assert products_K[2] == 0
    assert ACLGrad().weights(products_K)[2] == 1


def test_training_the_gate_separates_right_from_wrong_predictions(tiny_backbone):
    torch.manual_seed(0)
    encoder = EncoderConfig(tiny_backbone, learnt_gate=True, dropout=0.0).build(2).eval()
    ids, labels_B = torch.randint(1000, 9000, (24, 7)), torch.arange(24) % 2
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer, term = torch.optim.Adam(encoder.gate.parameters(), lr=0.05), GateCorrectness()
    losses = []
    for _ in range(60):
        loss = term.per_exit(encoder(ids, torch.ones_like(ids)), labels_B).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(parameter.grad is None for name, parameter in encoder.named_parameters() if "gate" not in name)
    assert {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])} == {
        "gate.weight",
        "gate.bias",
    }


def test_a_model_without_gate_is_refused():
    with pytest.raises(
        UserError, match=r"a learnt gate for gate_correctness; found a model without.*learnt_gate to true"
    ):
        GateCorrectness().per_exit(outputs(None, torch.zeros(2, 3, 2)), torch.zeros(3).long())
    with pytest.raises(UserError, match="an objective for regression"):
        WeightedObjective(GateCorrectness()).check(classes=False, num_exits=2)


def test_a_gate_and_its_term_need_each_other():
    with pytest.raises(UserError, match=r"a term that trains the learnt gate; found none.*learnt_gate\.yaml"):
        WeightedObjective().check_gate(learnt_gate=True)
    with pytest.raises(UserError, match=r"a learnt gate for gate_correctness; found a model without"):
        WeightedObjective(GateCorrectness()).check_gate(learnt_gate=False)
    WeightedObjective(GateCorrectness()).check_gate(learnt_gate=True)
    WeightedObjective().check_gate(learnt_gate=False)
