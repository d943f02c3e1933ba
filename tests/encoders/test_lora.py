"""Low-rank adapters: unchanged output before training, trained parameters, merging, refused settings."""

import sys

import pytest
import torch
from tiny_models import OTHER_FAMILIES, RAGGED, batch, tiny

from acl_lightning.encoders import EncoderConfig, LoRASettings, merged
from acl_lightning.errors import UserError

pytest.importorskip("peft")
FAMILIES = ("bert", "albert", "distilbert", "mpnet", "deberta-unshared", "modernbert")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Directories of tiny models by family."""
    root = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        tiny(family).save_pretrained(root / family)
    return root


def built(root, family="bert", lora=LoRASettings(rank=2), **settings):  # noqa: B008 - frozen
    torch.manual_seed(3)
    return EncoderConfig(backbone=str(root / family), lora=lora, **settings).build(2).eval()


def logits(encoder):
    with torch.no_grad():
        return encoder(**batch(RAGGED)).logits_EBC


def randomize(encoder):
    """Give the adapters weights as after training."""
    for name, parameter in encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)


def test_all_families_are_covered():
    assert {family.partition("-")[0] for family in OTHER_FAMILIES} <= {family.partition("-")[0] for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_change_nothing_before_training_and_are_merged_exactly(saved, family):
    plain, encoder = built(saved, family, lora=None), built(saved, family)
    encoder.heads.load_state_dict(plain.heads.state_dict())
    torch.testing.assert_close(logits(encoder), logits(plain), atol=1e-6, rtol=0)
    randomize(encoder)
    changed = logits(encoder)
    assert (changed - logits(plain)).abs().max() > 1e-3
    whole = merged(encoder)
    assert whole.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(logits(whole), changed, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits(encoder), changed)  # the original keeps its adapters


def test_a_merged_weight_is_the_sum_of_the_formula(saved):
    encoder = built(saved, lora=LoRASettings(rank=2, alpha=6.0, target_modules=["query"])).double()
    randomize(encoder)
    adapted = encoder.backbone.model.encoder.layer[1].attention.self.query
    a, b = adapted.lora_A["default"].weight, adapted.lora_B["default"].weight
    expected = adapted.base_layer.weight + 6.0 / 2 * b @ a
    found = merged(encoder).backbone.model.encoder.layer[1].attention.self.query.weight
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_only_adapters_and_heads_are_trained(saved):
    encoder = built(saved, exits=[2], exit_row="probe", lora=LoRASettings(rank=3, target_modules=["query", "value"]))
    trained = {name: p.shape for name, p in encoder.named_parameters() if p.requires_grad}
    adapters = {name for name in trained if name.startswith("backbone.")}
    assert len(adapters) == 2 * 2 * 2  # layers, modules, A and B
    assert all("lora_" in name for name in adapters)
    assert {trained[name] for name in adapters} == {(3, 24), (24, 3)}
    assert {name.split(".")[0] for name in trained} == {"backbone", "heads", "exit_rows"}


def test_frozen_layers_have_no_trained_adapters(saved):
    encoder = built(saved, frozen_layers=3)
    layers = {name.split(".")[4] for name, p in encoder.named_parameters() if p.requires_grad and "lora" in name}
    assert layers == {"3"}


def test_without_adapters_the_encoder_itself_is_returned(saved):
    encoder = built(saved, lora=None)
    assert merged(encoder) is encoder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"target_modules": ["querry"]},
            r"target_modules among .*: dense, key, query, value; found .querry",
        ),
        ({"target_modules": ["query", "q"]}, r"found 'q'\. "),
        ({"target_modules": []}, r"lora.target_modules to be names of modules, or null; found \[\]"),
        ({"rank": 0}, r"lora.rank to be an integer >= 1; found 0\. Set model.encoder.lora.rank to 8"),
        ({"alpha": 0.0}, r"lora.alpha to be a number > 0; found 0.0"),
        ({"dropout": 1.0}, r"lora.dropout to be a probability in \[0, 1\); found 1.0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(saved, settings, message):
    with pytest.raises(UserError, match=message):
        built(saved, lora=LoRASettings(**settings))


def test_missing_peft_is_named(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"peft for model.encoder.lora; found none installed\. .*acl-lightning\[lora\]"):
        built(saved)
