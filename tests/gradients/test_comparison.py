"""Cosines from inner products, and comparisons of gradients over scopes without Lightning."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from acl_lightning.errors import UserError
from acl_lightning.gradients import (
    AllParameters,
    GradientComparer,
    PerLayer,
    PerTensor,
    Representation,
    TopLayers,
    compare_rows,
    cosines,
    degrees,
    scope_name,
)

vectors = arrays.arrays("float64", 3, elements=st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-3))


def cosine(a, b):
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    return cosines(a @ b, a @ a, b @ b).item()


@given(vectors, vectors, st.floats(1e-60, 1e60))
def test_bounded_symmetric_and_free_of_scale(a, b, factor):
    value = cosine(a, b)
    assert -1 <= value <= 1
    assert math.isclose(value, cosine(b, a), abs_tol=1e-12)
    assert math.isclose(value, cosine(a * factor, b), abs_tol=1e-9)
    assert math.isclose(value, -cosine(-a, b), abs_tol=1e-12)


@given(vectors.filter(lambda a: abs(a).max() > 0))
def test_parallel_and_opposite(a):
    assert math.isclose(cosine(a, 2 * a), 1, abs_tol=1e-12)
    assert math.isclose(cosine(a, -a), -1, abs_tol=1e-12)


def test_a_zero_vector_is_at_a_right_angle():
    assert cosine([0, 0], [1, 2]) == cosine([0, 0], [0, 0]) == 0
    assert degrees(torch.tensor(0.0)).item() == 90


def test_vectors_that_are_not_finite_have_no_cosine():
    assert math.isnan(cosine([math.nan, 0], [1, 1]))
    assert math.isnan(cosine([math.inf, 0], [1, 1]))


def test_degrees():
    assert torch.allclose(degrees(torch.tensor([1.0, 0.5, 0.0, -1.0])), torch.tensor([0.0, 60.0, 90.0, 180.0]))


# -- two losses on a small network -------------------------------------------------------------------------------------


class Network(nn.Module):
    """Two numbered layers of a backbone, and a head for each loss."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.ModuleDict({"layer": nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 4)])})
        self.heads = nn.ModuleList([nn.Linear(4, 1), nn.Linear(4, 1)])

    def forward(self, x):
        hidden = x
        for layer in self.backbone["layer"]:
            hidden = layer(hidden).tanh()
        return hidden, [head(hidden).square().mean() for head in self.heads]


def by_hand(rows, names, belongs):
    shared = [n for n in names if belongs(n) and rows[0][n] is not None and rows[1][n] is not None]
    a, b = (torch.cat([row[n].flatten() for n in shared]).double() for row in rows)
    return ((a @ b) / (a.norm() * b.norm())).item(), a.norm().item(), b.norm().item()


def network_and_losses():
    network = Network()
    hidden, losses = network(torch.randn(5, 3))
    names = [name for name, _ in network.named_parameters()]
    gradients = [
        torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True) for loss in losses
    ]
    return network, hidden, losses, names, [dict(zip(names, row, strict=True)) for row in gradients]


def test_a_comparison_equals_gradients_computed_by_hand():
    network, hidden, losses, names, rows = network_and_losses()
    scopes = [AllParameters(), PerLayer(), TopLayers(1), Representation()]
    compared = GradientComparer(losses[0], network.named_parameters(), scopes, hidden).compare(losses[1])
    found = {(group.scope, group.group): group[2:] for group in compared}
    at_hidden = [torch.autograd.grad(loss, hidden, retain_graph=True)[0] for loss in losses]
    first, second = "backbone.layer.0", "backbone.layer.1"
    assert found.keys() == {
        ("AllParameters", ""),
        ("PerLayer", first),
        ("PerLayer", second),
        ("TopLayers(1)", ""),
        ("Representation", ""),
    }
    assert found["AllParameters", ""] == pytest.approx(by_hand(rows, names, lambda name: True), rel=1e-5)
    assert found["PerLayer", first] == pytest.approx(by_hand(rows, names, lambda n: n.startswith(first)), rel=1e-5)
    assert found["PerLayer", second] == found["TopLayers(1)", ""]
    assert found["Representation", ""] == pytest.approx(
        by_hand([{"h": gradient} for gradient in at_hidden], ["h"], lambda name: True), rel=1e-5
    )
    assert all(parameter.grad is None for parameter in network.parameters())
    sum(losses).backward()  # the graph is still there


def test_rows_are_compared_with_the_first_over_shared_parameters():
    _, _, _, names, rows = network_and_losses()
    protected, other = ([row[name] for name in names] for row in rows)
    found = compare_rows([protected, other, [None] * len(names)])
    cosine, norm_protected, norm_other = by_hand(rows, names, lambda name: True)
    assert found.shared_K == [True, True, False]
    assert found.cosines_K.tolist() == pytest.approx([1, cosine, 0], rel=1e-5)
    assert found.norms_K.tolist() == pytest.approx([norm_protected, norm_other, 0], rel=1e-5)


def test_scopes_that_select_nothing_are_left_out():
    network, _, losses, _, _ = network_and_losses()
    network.backbone.requires_grad_(requires_grad=False)
    scopes = [TopLayers(1), Representation(), PerTensor()]
    assert GradientComparer(losses[0], network.named_parameters(), scopes).compare(losses[1]) == []
    constant = GradientComparer(losses[0], network.named_parameters(), [AllParameters()]).compare(torch.tensor(1.0))
    assert constant == []


def test_parameters_without_gradients_are_no_silent_zeros():
    network, _, losses, _, _ = network_and_losses()
    with pytest.raises(UserError, match="the strategy shards or hides them"):
        GradientComparer(losses[0].detach(), network.named_parameters())


def test_names_of_scopes():
    assert [scope_name(scope) for scope in (PerLayer(), TopLayers(2))] == ["PerLayer", "TopLayers(2)"]
