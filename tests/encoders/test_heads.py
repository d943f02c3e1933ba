"""Heads: embeddings, logits and initialisation."""

import torch
from torch import nn

from acl_lightning.encoders import ExitHead


def head(**changes):
    settings = {"pooler": True, "pretrained_pooler": None, "dropout": 0.0}
    return ExitHead(6, 3, **{**settings, **changes})


def test_logits_are_the_classifier_of_the_embedding():
    row_BD = torch.randn(4, 6)
    one = head()
    embedding_BD, logits_BC = one(row_BD)
    torch.testing.assert_close(embedding_BD, torch.tanh(row_BD @ one.pooler.weight.T + one.pooler.bias))
    torch.testing.assert_close(logits_BC, embedding_BD @ one.classifier.weight.T + one.classifier.bias)


def test_without_pooler_the_row_itself_is_classified():
    row_BD = torch.randn(4, 6)
    one = head(pooler=False)
    assert torch.equal(one(row_BD)[0], row_BD)
    assert [name for name, _ in one.named_parameters()] == ["classifier.weight", "classifier.bias"]


def test_poolers_are_copies_of_the_pretrained_pooler():
    pretrained = nn.Linear(6, 6)
    one, other = (head(pretrained_pooler=pretrained) for _ in range(2))
    for mine in (one, other):
        assert torch.equal(mine.pooler.weight, pretrained.weight)
        assert torch.equal(mine.pooler.bias, pretrained.bias)
    with torch.no_grad():
        one.pooler.weight.zero_()
    assert torch.equal(other.pooler.weight, pretrained.weight)
    assert pretrained.weight.abs().max() > 0


def test_new_layers_are_initialised_like_those_of_bert():
    torch.manual_seed(0)
    one = ExitHead(512, 3, pooler=True, pretrained_pooler=None, dropout=0.0)
    assert abs(one.pooler.weight.std().item() - 0.02) < 5e-4
    assert one.pooler.bias.eq(0).all()
    assert one.classifier.bias.eq(0).all()


def test_the_embedding_is_the_output_of_dropout():
    torch.manual_seed(0)
    row_BD = torch.ones(50, 6)
    one = head(pooler=False, dropout=0.5).train()
    embedding_BD, logits_BC = one(row_BD)
    assert set(embedding_BD.unique().tolist()) == {0.0, 2.0}
    torch.testing.assert_close(logits_BC, one.classifier(embedding_BD))
    assert torch.equal(one.eval()(row_BD)[0], row_BD)
