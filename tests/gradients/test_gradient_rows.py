"""Gradient rows: shared graph, unreached parameters, silent zeros, wrong strategies."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from acl_lightning.errors import UserError
from acl_lightning.gradients import (
    AutogradRows,
    BackwardRows,
    BatchedRows,
    autograd_rows,
    combine,
    products_by_parameter,
    products_with_protected,
)

COLLECTORS = [AutogradRows(), BackwardRows(), BatchedRows()]


def kind(thing):
    return type(thing).__name__


@pytest.mark.parametrize("collector", COLLECTORS, ids=kind)
def test_rows_equal_separate_backward_passes(collector):
    torch.manual_seed(0)
    trunk, head = nn.Linear(3, 4).double(), nn.Linear(4, 1).double()
    parameters = [*trunk.parameters(), *head.parameters()]
    x = torch.randn(5, 3, dtype=torch.float64)
    builds = (lambda h: head(h).square().mean(), lambda h: h.square().sum())
    hidden = trunk(x).tanh()
    rows = collector.rows([build(hidden) for build in builds], parameters)
    for row, build in zip(rows, builds, strict=True):
        expected = torch.autograd.grad(build(trunk(x).tanh()), parameters, allow_unused=True)
        for gradient, wanted in zip(row, expected, strict=True):
            assert (gradient is None) == (wanted is None)
            if wanted is not None:
                torch.testing.assert_close(gradient, wanted)
    assert [gradient is None for gradient in rows[1]] == [False, False, True, True]
    assert products_with_protected(rows)[1] == pytest.approx(
        sum((a * b).sum().item() for a, b in zip(rows[0][:2], rows[1][:2], strict=True))
    )
    assert all(parameter.grad is None for parameter in parameters)


def test_products_exclude_parameters_of_a_single_term():
    a, b, c = (torch.tensor([x]) for x in (1.0, 2.0, 4.0))
    rows = [[a, b, None], [a, None, c]]
    assert products_with_protected(rows).tolist() == [1.0, 1.0]
    assert products_by_parameter(rows).tolist() == [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert combine(rows, torch.tensor([1.0, 1.0]), 0).item() == 2
    assert combine(rows, torch.tensor([1.0, 0.0]), 2).item() == 0
    assert combine(rows, torch.tensor([1.0, 0.5]), 2).item() == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_products_of_narrow_gradients_are_summed_wide(dtype):
    """1 + 300 * 2^-8 in bfloat16 would stay 1; 300 * 300^2 overflows float16."""
    ones, large = torch.ones(4096, dtype=dtype), torch.full((300,), 300.0, dtype=dtype)
    assert products_with_protected([[ones], [ones]]).tolist() == [4096.0, 4096.0]
    assert products_with_protected([[large], [-large]]).tolist() == pytest.approx([2.7e7, -2.7e7])


@pytest.mark.parametrize("collector", COLLECTORS, ids=kind)
def test_a_constant_term_has_a_row_of_none(collector):
    weight = nn.Parameter(torch.ones(2))
    rows = collector.rows([torch.tensor(3.0), weight.sum(), torch.tensor(3.0)], [weight])
    assert rows[0] == rows[2] == [None]
    assert rows[1][0].tolist() == [1, 1]


@pytest.mark.parametrize("collector", COLLECTORS, ids=kind)
@pytest.mark.parametrize("term", [torch.ones(1, requires_grad=True).sum(), torch.tensor(1.0)], ids=["other", "none"])
def test_parameters_that_no_term_reaches_at_all_are_an_error(term, collector):
    with pytest.raises(RuntimeError, match="expected gradients for the model's parameters; found none"):
        collector.rows([term], [nn.Parameter(torch.ones(2))])
    with pytest.raises(RuntimeError, match="found none"):
        autograd_rows([term], [nn.Parameter(torch.ones(2))])


@pytest.fixture
def alone():
    """A process group of one."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_backward_rows_are_refused_under_ddp(alone):
    wrapped = DistributedDataParallel(nn.Linear(2, 1))
    for collector in (AutogradRows(), BatchedRows()):
        collector.check(wrapped)
    message = r"DDP, whose reducer would average only the first of several backward passes\. Set .* to AutogradRows"
    with pytest.raises(UserError, match=message):
        BackwardRows().check(wrapped)


def test_batched_rows_refuse_graphs_that_cannot_be_vectorised():
    """Gradient checkpointing draws its dropout again."""
    weight = nn.Parameter(torch.ones(4))
    dropped = torch.utils.checkpoint.checkpoint(
        lambda w: nn.functional.dropout(w.sin(), 0.5).square(), weight, use_reentrant=False
    )
    with pytest.raises(UserError, match=r"samples of a single process for BatchedRows; found model.global_pool = true"):
        BatchedRows().check(nn.Linear(2, 2), gathers=True)
    with pytest.raises(UserError, match=r"a graph that BatchedRows can vectorise; found .*random.* to AutogradRows"):
        BatchedRows().rows([dropped.sum(), dropped.square().sum()], [weight])
