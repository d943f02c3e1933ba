"""A family of encoders from outside this package: registered, trained, swept, and loaded from a checkpoint."""

import pytest
import torch
from tiny_models import RAGGED, batch
from torch import nn
from training_runs import tiny_data, tiny_module, tiny_trainer
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from acl_lightning.encoders import (
    ADAPTERS,
    Backbone,
    BertFamily,
    EncoderConfig,
    KeysValues,
    TokenState,
    load_backbone,
    register_backbone,
)
from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence
from acl_lightning.exits.inference import AdaptiveRuntime


class ToyConfig(PreTrainedConfig):
    model_type = "toy-encoder"
    hidden_size: int = 8
    num_hidden_layers: int = 3
    vocab_size: int = 50
    max_position_embeddings: int = 64


class ToyModel(PreTrainedModel):
    """Layers of one-headed attention with a residual connection."""

    config_class = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        width = config.hidden_size
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value", "output")})
            for _ in range(config.num_hidden_layers)
        )
        self.post_init()


class ToyBackbone(Backbone):
    """Steps the layers of `ToyModel`."""

    def __init__(self, model, *, pooler_is_pretrained=True, gradient_checkpointing=False, compile_layers=False):
        super().__init__()
        self.model = model
        self.width, self.depth = model.config.hidden_size, model.config.num_hidden_layers
        self.max_tokens = model.config.max_position_embeddings
        self.gradient_checkpointing, self.compile_layers = gradient_checkpointing, compile_layers

    def embed(self, input_ids, attention_mask, token_type_ids=None):
        self.check_length(input_ids.shape[1])
        return TokenState(self.model.embeddings(input_ids), attention_mask.bool())

    def keys_values(self, layer, state):
        block = self.model.layers[layer]
        return KeysValues(block["key"](state.hidden_BSD)[:, None], block["value"](state.hidden_BSD)[:, None])

    def rows(self, layer, query_BRD, keys_values, mask_BS):
        block = self.model.layers[layer]
        mask = None if mask_BS is None else mask_BS[:, None, None, :]
        read_BHRd = nn.functional.scaled_dot_product_attention(
            block["query"](query_BRD)[:, None], keys_values.keys_BHSd, keys_values.values_BHSd, attn_mask=mask
        )
        return query_BRD + block["output"](read_BHRd[:, 0])

    def pooler(self):
        return None

    def cut(self, num_layers):
        self.model.layers = self.model.layers[:num_layers]


@pytest.fixture
def toy(tmp_path, monkeypatch, tiny_backbone):
    """Directory of a saved toy model with a tokenizer; the family is registered for the time of a test."""
    AutoConfig.register("toy-encoder", ToyConfig, exist_ok=True)
    AutoModel.register(ToyConfig, ToyModel, exist_ok=True)
    monkeypatch.setitem(ADAPTERS, "toy-encoder", ToyBackbone)
    register_backbone("toy-encoder", ToyBackbone)
    torch.manual_seed(0)
    ToyModel(ToyConfig(vocab_size=30522)).save_pretrained(tmp_path / "toy")
    AutoTokenizer.from_pretrained(tiny_backbone).save_pretrained(tmp_path / "toy")
    return tmp_path / "toy"


def test_a_registered_family_is_loaded_cut_and_stepped(toy):
    assert isinstance(load_backbone(toy), ToyBackbone)
    encoder = EncoderConfig(backbone=str(toy), exits=[1, 2]).build(num_labels=2).eval()
    assert len(encoder.backbone.model.layers) == 2
    inputs = batch(RAGGED)
    logits_EBC = encoder(**inputs).logits_EBC
    assert logits_EBC.shape == (2, len(RAGGED), 2)
    decisions = AdaptiveRuntime(encoder, Confidence(), 1.0)(**inputs)
    assert torch.allclose(decisions.logits_BC, logits_EBC[-1], atol=1e-6)


def test_a_registered_family_is_trained_and_measured(toy, tmp_path):
    data = tiny_data(str(toy))
    module = tiny_module(str(toy), data)
    before = module.encoder.backbone.model.layers[0]["query"].weight.detach().clone()
    trainer = tiny_trainer(tmp_path)
    trainer.fit(module, data)
    assert not torch.equal(module.encoder.backbone.model.layers[0]["query"].weight, before)


def test_a_family_is_registered_once(monkeypatch):
    monkeypatch.setattr("acl_lightning.encoders.registry.ADAPTERS", dict(ADAPTERS))
    register_backbone("bert", BertFamily)  # the same again is fine
    with pytest.raises(UserError, match=r"a backbone type other than bert, .*; found 'bert'"):
        register_backbone("bert", ToyBackbone)


def test_an_unregistered_family_is_refused_with_the_way_to_add_it(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match=r"found 'gpt2' .*register_backbone"):
        load_backbone(tmp_path)
