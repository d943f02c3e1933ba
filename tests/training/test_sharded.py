"""Parameters sharded over two processes by `fully_shard` (FSDP2): the update of one process on the whole batch."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from training_runs import in_processes

from acl_lightning.errors import UserError
from acl_lightning.gradients import (
    ACLGrad,
    AutogradRows,
    BackwardRows,
    GradientStep,
    PerTensor,
    ProtectedPCGrad,
    Representation,
    TopLayers,
)

WORLD = 2

#: Name -> rule, scope, and what the second term is multiplied by: both decisions occur.
SCENARIOS: dict[str, tuple[Any, Any, float]] = {
    "discard, agreement": (ACLGrad(), None, 1.0),
    "discard, conflict": (ACLGrad(), None, -1.0),
    "project, conflict": (ProtectedPCGrad(), None, -1.0),
    "discard per tensor": (ACLGrad(), PerTensor(), -1.0),
    "discard at the representation": (ACLGrad(), Representation(), -1.0),
}


class Net(nn.Module):
    """Two layers and two heads, one per term."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 4)])
        self.heads = nn.ModuleList([nn.Linear(4, 1), nn.Linear(4, 1)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The representation, and the outputs of both heads."""
        hidden = self.backbone[1](self.backbone[0](x).tanh()).tanh()
        return hidden, torch.cat([head(hidden) for head in self.heads], dim=1)


def net() -> Net:
    torch.manual_seed(0)
    return Net().double()


def rows(rank: int, world: int) -> torch.Tensor:
    whole = torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return whole[rank::world]


def take(model: nn.Module, scenario: str, x: torch.Tensor, *, sharded: bool) -> dict[str, Any]:
    """Weights after one SGD step, and the report."""
    rule, scope, sign = SCENARIOS[scenario]
    collector = BackwardRows() if sharded else AutogradRows()
    step = GradientStep(rule, model.named_parameters(), scope, collector, average_ranks=sharded)
    hidden, out = model(x)
    # The second term pulls the same way as the first, or against it, but not exactly.
    first, second = out[:, 0].square().mean(), (out[:, 1].square().mean() + hidden.square().mean())
    step.add([first + hidden.square().mean(), sign * second], hidden)
    report = step.finish()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    whole = {n: p.full_tensor() if isinstance(p, DTensor) else p for n, p in model.named_parameters()}
    weights = {name: tensor.detach().clone() for name, tensor in whole.items()}
    return {"weights": weights, "products": report.products_K.tolist(), "discarded": report.discarded}


def sharded() -> Net:
    model = net()
    for layer in model.backbone:
        fully_shard(layer)
    fully_shard(model)
    return model


def train_sharded(directory: Path) -> None:
    """Every scenario, and what refuses; in this process of two."""
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    found: dict[str, Any] = {name: take(sharded(), name, rows(rank, WORLD), sharded=True) for name in SCENARIOS}
    for name, scope, collector in (("autograd", None, AutogradRows()), ("top", TopLayers(), BackwardRows())):
        model = sharded()
        hidden, out = model(rows(rank, WORLD))
        names = [(f"{n}".replace("backbone.", "backbone.model."), p) for n, p in model.named_parameters()]
        with pytest.raises(UserError) as error:
            GradientStep(ACLGrad(), names, scope, collector, average_ranks=True).add([out.sum(), hidden.sum()], hidden)
        found[name] = str(error.value)
    with pytest.raises(UserError) as error:
        AutogradRows().check(sharded())
    found["check"] = str(error.value)
    BackwardRows().check(sharded())
    torch.save(found, directory / f"rank-{os.environ['LOCAL_RANK']}.pt")
    distributed.destroy_process_group()


def start(directory: Path) -> None:
    """Give a process its rank; what it finds goes to a file."""
    os.environ["RANK"] = os.environ["LOCAL_RANK"]
    train_sharded(directory)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict[str, Any]]:
    directory = tmp_path_factory.mktemp("sharded")
    assert in_processes(start, directory, number=WORLD) == [0] * WORLD
    return [torch.load(directory / f"rank-{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_update_is_that_of_one_process_with_the_whole_batch(scenario, ranks):
    alone = take(net(), scenario, rows(0, 1), sharded=False)
    before = dict(net().named_parameters())
    for found in ranks:
        for name, expected in alone["weights"].items():
            torch.testing.assert_close(found[scenario]["weights"][name], expected, rtol=1e-9, atol=1e-12)
        assert found[scenario]["products"] == pytest.approx(alone["products"], rel=1e-9)
        assert found[scenario]["discarded"] == alone["discarded"]
    assert any((alone["weights"][name] - before[name]).abs().max() > 1e-3 for name in before)


def test_both_decisions_occur(ranks):
    decisions = {name: ranks[0][name]["discarded"] for name in SCENARIOS}
    assert decisions["discard, conflict"]
    assert decisions["discard at the representation"]
    assert not decisions["discard, agreement"]
    assert ranks[0]["project, conflict"]["products"][1] < 0


def test_what_would_find_nothing_is_refused(ranks):
    for found in ranks:
        for case in ("autograd", "check"):
            assert "expected unsharded parameters for AutogradRows; found sharded parameters" in found[case]
            assert "Set model.gradient_collector to BackwardRows" in found[case]
        assert "expected a scope whose tensors are not sharded; found sharded parameters" in found["top"]
