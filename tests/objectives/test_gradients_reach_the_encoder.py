"""Contrastive terms train all layers of a real encoder.

Two public re-implementations of SCL detach the embeddings; their term has a value and no gradient.
"""

from dataclasses import replace

import pytest
import torch
from training_runs import tiny_data, tiny_module

from acl_lightning.objectives import (
    ACF,
    ACLCrossLayer,
    ACLEmbed,
    MemoryQueue,
    RDrop,
    SelfDistillation,
    SupervisedContrastive,
    WeightedObjective,
)

TERMS = [
    SupervisedContrastive(),
    ACLEmbed(),
    ACLCrossLayer(),
    ACF(),
    SelfDistillation(),
    ACLEmbed(queue=MemoryQueue(8)),
]


@pytest.fixture(scope="module")
def encoder_and_batch(tiny_backbone):
    data = tiny_data(tiny_backbone)
    return tiny_module(tiny_backbone, data).encoder, next(iter(data.train_dataloader()))


def gradients(loss, encoder):
    """Largest entry of the gradient of every parameter that `loss` reaches, by name."""
    named = dict(encoder.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: g.abs().max().item() for name, g in zip(named, found, strict=True) if g is not None}


def forward(encoder, batch):
    return encoder(batch["input_ids"], batch["attention_mask"])


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_every_term_reaches_the_first_layer(term, encoder_and_batch):
    encoder, batch = encoder_and_batch
    loss = WeightedObjective(term)(forward(encoder, batch), batch["labels"])[term.name]
    reached = gradients(loss, encoder)
    first = [name for name in reached if name.startswith("backbone.") and ".0." in name and name.endswith("weight")]
    assert len(first) >= 6
    assert min(reached[name] for name in first) > 0
    assert max(reached[name] for name in first) > 1e-5


def test_r_drop_reaches_the_first_layer(encoder_and_batch):
    encoder, batch = encoder_and_batch
    twice = {name: tensor.repeat(2, 1) for name, tensor in batch.items() if tensor.ndim == 2}
    outputs = replace(forward(encoder, twice), views=2)
    reached = gradients(RDrop().per_exit(outputs, batch["labels"].repeat(2)).sum(), encoder)
    first = [name for name in reached if name.startswith("backbone.") and ".0." in name and name.endswith("weight")]
    assert len(first) >= 6
    assert min(reached[name] for name in first) > 0


def last_layer(encoder, reached):
    return [name for name in reached if name.startswith("backbone.") and f".{encoder.num_layers - 1}." in name]


def test_a_detached_teacher_gets_no_gradient(encoder_and_batch):
    """The last layer and its head are the teacher's alone."""
    encoder, batch = encoder_and_batch
    term = ACLCrossLayer()
    reached = gradients(term.per_exit(forward(encoder, batch), batch["labels"]).sum(), encoder)
    taught = [*last_layer(encoder, reached), *(name for name in reached if name.startswith("heads.2."))]
    assert all(reached[name] == 0 for name in taught)
    # Its students' classifiers are not compared with anything either: label embeddings are the teacher's.
    assert not any("classifier" in name and reached[name] > 0 for name in reached)


def test_an_attached_teacher_gets_a_gradient(encoder_and_batch):
    encoder, batch = encoder_and_batch
    term = ACLCrossLayer(detach=False)
    reached = gradients(term.per_exit(forward(encoder, batch), batch["labels"]).sum(), encoder)
    assert max(reached[name] for name in last_layer(encoder, reached)) > 1e-5
    assert reached["heads.2.classifier.weight"] > 0
