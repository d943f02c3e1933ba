"""Gradient rows: shared graph, unreached parameters, silent zeros."""

import pytest
import torch
from torch import nn

from acl_lightning.gradients import autograd_rows, combine, products_with_protected


def test_rows_equal_separate_backward_passes():
    trunk, head = nn.Linear(3, 4).double(), nn.Linear(4, 1).double()
    parameters = [*trunk.parameters(), *head.parameters()]
    hidden = trunk(torch.randn(5, 3, dtype=torch.float64)).tanh()
    terms = [head(hidden).square().mean(), hidden.square().sum()]
    rows = autograd_rows(terms, parameters)
    for row, build in zip(rows, (lambda h: head(h).square().mean(), lambda h: h.square().sum()), strict=True):
        assert [g is None for g in row[2:]] == [build(hidden.detach()).requires_grad is False] * 2
    assert products_with_protected(rows)[1] == pytest.approx(
        sum((a * b).sum().item() for a, b in zip(rows[0][:2], rows[1][:2], strict=True))
    )


def test_products_leave_out_what_one_term_alone_reaches():
    a, b, c = (torch.tensor([x]) for x in (1.0, 2.0, 4.0))
    rows = [[a, b, None], [a, None, c]]
    assert products_with_protected(rows).tolist() == [1.0, 1.0]
    assert products_with_protected(rows, [1, 2]).tolist() == [0.0, 0.0]
    assert combine(rows, torch.tensor([1.0, 1.0]), 0).item() == 2
    assert combine(rows, torch.tensor([1.0, 0.0]), 2).item() == 0
    assert combine(rows, torch.tensor([1.0, 0.5]), 2).item() == 2


def test_a_constant_term_is_a_row_of_nothing():
    weight = nn.Parameter(torch.ones(2))
    rows = autograd_rows([weight.sum(), torch.tensor(3.0)], [weight])
    assert rows[1] == [None]


def test_parameters_that_no_term_reaches_at_all_are_an_error():
    with pytest.raises(RuntimeError, match="expected gradients for the model's parameters; found none"):
        autograd_rows([torch.ones(1, requires_grad=True).sum()], [nn.Parameter(torch.ones(2))])
