"""Loading of backbones: supported sources, refused sources, and error messages."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import batch, tiny
from transformers import RobertaForMaskedLM

from acl_lightning.encoders import BertFamily, load_backbone
from acl_lightning.errors import UserError


def saved(directory, family="bert"):
    tiny(family).save_pretrained(directory)
    return directory / "model.safetensors"


def rewrite(path, change):
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_saved_models_are_loaded(family, tmp_path):
    saved(tmp_path, family)
    backbone = load_backbone(str(tmp_path)).eval()
    assert isinstance(backbone, BertFamily)
    assert (backbone.width, backbone.depth) == (24, 4)
    expected = BertFamily(tiny(family)).eval().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in backbone.state_dict().items())
    assert (backbone.pooler() is None) == (family == "electra")


def test_weights_are_float32_for_any_checkpoint(tmp_path):
    tiny("bert").to(torch.bfloat16).save_pretrained(tmp_path)
    assert {p.dtype for p in load_backbone(str(tmp_path)).parameters()} == {torch.float32}


def test_a_language_model_without_pooler_is_loaded(tmp_path):
    RobertaForMaskedLM(tiny("roberta").config).save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path))
    assert backbone.pooler() is None
    assert backbone.embed(**batch([4])).hidden_BSD.shape == (1, 4, 24)


def test_loading_is_silent(tmp_path, capfd):
    rewrite(saved(tmp_path), lambda weights: {n: w for n, w in weights.items() if "pooler" not in n})
    capfd.readouterr()  # saving is not
    load_backbone(str(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_random_weights_need_a_configuration_alone(tmp_path):
    tiny("bert").config.save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path), random_init=True)
    assert backbone.depth == 4
    assert backbone.pooler() is None
    with pytest.raises(UserError, match=r"to load the backbone .*model\.safetensors"):
        load_backbone(str(tmp_path))


def test_gradient_checkpointing_is_passed_on(tmp_path):
    saved(tmp_path)
    assert load_backbone(str(tmp_path), gradient_checkpointing=True).gradient_checkpointing
    assert not load_backbone(str(tmp_path)).gradient_checkpointing


def test_missing_encoder_weights_are_refused(tmp_path):
    lost = "encoder.layer.2.output.dense.weight"
    rewrite(saved(tmp_path), lambda weights: {n: w for n, w in weights.items() if n != lost})
    with pytest.raises(UserError, match=rf"all weights of the encoder .*found 1 missing, '{lost}' first"):
        load_backbone(str(tmp_path))


def test_weights_of_another_shape_are_refused(tmp_path):
    name = "encoder.layer.0.output.dense.weight"
    rewrite(saved(tmp_path), lambda weights: {**weights, name: torch.zeros(3, 3)})
    with pytest.raises(UserError, match="to load the backbone"):
        load_backbone(str(tmp_path))


def test_other_model_types_are_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(
        UserError,
        match=r"a backbone of type bert, roberta, .*modernbert, vit, deit, dinov2; found 'gpt2'",
    ):
        load_backbone(str(tmp_path))


def test_decoders_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "is_decoder": True}))
    with pytest.raises(UserError, match="expected an encoder; found a decoder"):
        load_backbone(str(tmp_path))


def test_a_configuration_without_type_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"to load the backbone .*Unrecognized model"):
        load_backbone(str(tmp_path))


def test_a_hub_id_that_is_not_cached_is_refused_with_a_remedy():
    with pytest.raises(UserError, match=r"'nobody/no-such-model'; found .* to a directory or package:"):
        load_backbone("nobody/no-such-model")


def test_code_from_a_checkpoint_is_not_run(tmp_path):
    witness = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(witness)!r}, 'w')\nclass Config: ...\n")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}))
    with pytest.raises(UserError, match="to load the backbone"):
        load_backbone(str(tmp_path))
    assert not witness.exists()
