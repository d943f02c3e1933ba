"""Every family beside BERT: stepping equals transformers, exits before the rest of their layer, training and export."""

import copy

import pytest
import torch
from tiny_models import ALL_FAMILIES, EVEN, OTHER_FAMILIES, RAGGED, batch, tiny, tiny_tokenizer
from torch.nn.functional import cross_entropy
from training_runs import tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.encoders import ADAPTERS, EXIT_ROWS, EncoderConfig, ExitHead, MultiExitEncoder, TokenState
from acl_lightning.errors import UserError
from acl_lightning.export import MultiExitConfig, MultiExitForSequenceClassification
from acl_lightning.gradients import ACLGrad
from acl_lightning.objectives import ACLObjective

WITHOUT_TOKEN_TYPES = {"distilbert", "mpnet", "modernbert"}
FAMILIES_BY_NAME = pytest.mark.parametrize("family", OTHER_FAMILIES)


def backbone_of(family, model=None, **settings):
    model_type = ALL_FAMILIES[family][0]
    return ADAPTERS[model_type](copy.deepcopy(model or tiny(family)), **settings).eval()


def encoder_of(family, kind="mean_row", exits=(1, 2, 3, 4)):
    backbone = backbone_of(family)
    heads = [ExitHead(24, 3, pooler=True, pretrained_pooler=backbone.pooler(), dropout=0.1) for _ in exits]
    return MultiExitEncoder(backbone, exits, [EXIT_ROWS[kind](24) for _ in exits], heads).eval()


def inputs_of(family, lengths):
    """The batch, and the part of it that the Hugging Face model accepts."""
    inputs = batch(lengths)
    accepted = dict(inputs)
    if ALL_FAMILIES[family][0] in WITHOUT_TOKEN_TYPES:
        del accepted["token_type_ids"]
    return inputs, accepted


def states(backbone, inputs):
    """Hidden states before and after every layer, the last one after the final norm."""
    state = backbone.embed(**inputs)
    found = [state.hidden_BSD]
    for layer in range(backbone.depth):
        state = backbone.layer(layer, state)
        found.append(state.hidden_BSD)
    return [*found[:-1], backbone.exit_norm(found[-1])]


@torch.no_grad()
@FAMILIES_BY_NAME
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("lengths", [RAGGED, EVEN])
def test_steps_equal_the_hugging_face_hidden_states(family, lengths, attention):
    model = tiny(family, attention=attention)
    inputs, accepted = inputs_of(family, lengths)
    outputs = model(**accepted, output_hidden_states=True)
    expected = [*outputs.hidden_states[:-1], outputs.last_hidden_state]
    found = states(backbone_of(family, model), inputs)
    assert len(found) == len(expected) == 5
    real = inputs["attention_mask"].bool()  # the states of padding are nobody's input, and differ
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=0)
    assert (expected[0] - expected[-1])[real].abs().max() > 0.1  # the layers do something


@FAMILIES_BY_NAME
def test_training_gradients_equal_hugging_face_without_dropout(family):
    model = tiny(family, dropout=0.0).train()
    ours = backbone_of(family, model).train()
    inputs, accepted = inputs_of(family, RAGGED)
    real = inputs["attention_mask"].bool()
    model(**accepted).last_hidden_state[real].pow(3).sum().backward()
    states(ours, inputs)[-1][real].pow(3).sum().backward()
    expected = {f"model.{n}": p.grad for n, p in model.named_parameters() if not n.startswith("pooler")}
    found = {name: parameter.grad for name, parameter in ours.named_parameters()}
    for name in [name for name in expected if "Wqkv" in name]:  # split in two
        query, key_value = (name.replace("Wqkv", part) for part in ("query", "key_value"))
        found[name] = torch.cat([found.pop(query), found.pop(key_value)])
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-3, rtol=1e-3, msg=name)


@torch.no_grad()
@FAMILIES_BY_NAME
def test_dropping_samples_between_layers_changes_nothing_for_the_others(family):
    backbone = backbone_of(family)
    state = whole = backbone.embed(**batch(RAGGED))
    for layer, rows in enumerate([[0, 1, 2, 3], [3, 0, 1], [1, 2], [0, 1]]):
        whole = backbone.layer(layer, whole)
        state = backbone.layer(layer, state)
        kept = torch.tensor(rows)
        length = int(state.mask_BS[kept].sum(dim=1).max())
        state, whole = state.select(kept, length), TokenState(whole.hidden_BSD[kept], whole.mask_BS[kept])
        real = state.mask_BS
        torch.testing.assert_close(state.hidden_BSD[real], whole.hidden_BSD[:, :length][real], atol=1e-5, rtol=0)
    assert state.hidden_BSD.shape[1] == 7  # samples 0 and 1 are left, of 7 and 3 tokens


@torch.no_grad()
@pytest.mark.parametrize("lengths", [RAGGED, [1]])
@pytest.mark.parametrize("kind", EXIT_ROWS)
@FAMILIES_BY_NAME
def test_exit_first_and_finish_equal_advance(family, kind, lengths):
    encoder = encoder_of(family, kind)
    state = encoder.embed(**batch(lengths))
    for layer in range(3):
        step = encoder.advance(layer, state)
        reading, half = encoder.exit_first(layer, state)
        torch.testing.assert_close(reading.logits_BC, step.logits_BC, atol=1e-5, rtol=0)
        rows = torch.arange(len(lengths)).flip(0)
        kept = encoder.finish(half.select(rows, max(lengths)))
        torch.testing.assert_close(kept.hidden_BSD, step.following.hidden_BSD[rows], atol=1e-5, rtol=0)
        state = encoder.finish(half)


@torch.no_grad()
@FAMILIES_BY_NAME
def test_cls_exits_are_the_heads_of_hugging_face_states(family):
    """The exit row of the last layer, which passes alone, is the first row of transformers' last hidden state."""
    encoder = encoder_of(family, "cls", exits=(4,))
    inputs, accepted = inputs_of(family, RAGGED)
    expected = encoder.heads[0](tiny(family)(**accepted).last_hidden_state[:, 0])[1]
    torch.testing.assert_close(encoder(**inputs).logits_EBC[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["cls", "probe"])
@FAMILIES_BY_NAME
def test_every_parameter_is_trained(family, kind):
    encoder = encoder_of(family, kind, exits=(1, 3)).train()
    labels = torch.tensor([0, 1, 2, 0, 1])
    sum(cross_entropy(logits_BC, labels) for logits_BC in encoder(**batch(RAGGED)).logits_EBC).backward()
    trained = [(name, p) for name, p in encoder.named_parameters() if p.requires_grad]
    assert [name for name, p in trained if p.grad is None or not p.grad.isfinite().all()] == []
    # The key's bias moves every score of a row alike, so its gradient vanishes by nature.
    keys = ("key.bias", "k_lin.bias", "attn.k.bias", "key_proj.bias")
    assert [name for name, p in trained if not p.grad.any() and not name.endswith(keys)] == []


@FAMILIES_BY_NAME
def test_gradient_checkpointing_changes_no_gradient(family):
    gradients = []
    for saving in (False, True):
        backbone = backbone_of(family, gradient_checkpointing=saving).train()
        torch.manual_seed(5)  # dropout is on: the second computation has to draw the same masks
        loss = states(backbone, batch(RAGGED))[-1].pow(3).sum()
        gradients.append(torch.autograd.grad(loss, [p for p in backbone.parameters() if p.requires_grad]))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("family", "has_pooler", "limit"),
    [
        ("albert", True, 20),
        ("distilbert", False, 20),
        ("mpnet", True, 18),
        ("deberta-v3", False, 20),
        ("modernbert", False, 20),
        ("xlm-roberta", True, 18),
    ],
)
def test_pooler_and_longest_sequence(family, has_pooler, limit):
    backbone = backbone_of(family)
    assert (backbone.pooler() is not None) == has_pooler
    assert not [name for name in backbone.state_dict() if "pooler" in name]
    backbone.embed(**batch([limit]))
    with pytest.raises(UserError, match=rf"at most {limit} tokens per sample; found {limit + 1}\. Set data.max_length"):
        backbone.embed(**batch([limit + 1]))


@pytest.mark.parametrize(
    ("family", "layers", "left"),
    [
        ("albert", 1, 1),
        ("albert-groups", 2, 1),
        ("albert-groups", 3, 2),
        ("albert-inner", 1, 1),
        ("albert-inner", 3, 2),
    ],
)
def test_cut_removes_the_shared_layers_that_no_exit_uses(family, layers, left):
    backbone = backbone_of(family)
    backbone.cut(layers)
    assert sum(len(group.albert_layers) for group in backbone.blocks) == left
    state = backbone.embed(**batch(EVEN))
    for layer in range(layers):
        state = backbone.layer(layer, state)
    assert backbone.depth == 4


@FAMILIES_BY_NAME
def test_every_parameter_belongs_to_a_layer(family):
    backbone = backbone_of(family)
    layers = {name: backbone.layers_of(name) for name, _ in backbone.named_parameters()}
    shared = {"albert": {(1, 2, 3, 4)}, "albert-groups": {(1, 2), (3, 4)}, "albert-inner": {(1, 3), (2, 4)}}
    assert set(layers.values()) == {(0,)} | shared.get(family, {(1,), (2,), (3,), (4,)})
    assert {layer for name, layer in layers.items() if "mbedding" in name} == {(0,)}
    assert {layer for name, layer in layers.items() if "final_norm" in name} <= {(4,)}


def test_removed_layers_share_no_parameters():
    backbone = backbone_of("albert-inner")
    backbone.cut(3)
    layers = {backbone.layers_of(name) for name, _ in backbone.named_parameters()}
    assert layers == {(0,), (1, 3), (2,)}


def test_a_deberta_with_a_convolution_is_refused():
    model = tiny("deberta-v3", conv_kernel_size=3)
    with pytest.raises(UserError, match=r"a DeBERTa without convolution; found conv_kernel_size = 3 .*deberta-v3-base"):
        backbone_of("deberta-v3", model)


@pytest.fixture(params=["albert", "distilbert", "mpnet", "deberta-v3", "modernbert", "xlm-roberta"])
def saved(request, tmp_path):
    """Directory of a tiny model and its tokenizer."""
    tiny(request.param, dropout=0.0).save_pretrained(tmp_path / "model")
    tiny_tokenizer(["good", "bad", "not"]).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_two_steps_of_training_and_an_export_round_trip(saved, tmp_path):
    data = tiny_data(saved, max_length=12)
    module = tiny_module(saved, data, objective=ACLObjective(), gradient_rule=ACLGrad())
    before = weights(module)
    tiny_trainer(tmp_path, limit_train_batches=2).fit(module, data)
    assert module.step.names == [name for name, p in module.encoder.named_parameters() if p.requires_grad]
    after = weights(module)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("backbone.model" in name for name in moved)

    encoder = module.encoder.eval()
    config = MultiExitConfig(
        backbone_config=encoder.backbone.model.config.to_dict(),
        exit_layers=list(encoder.exit_layers),
        num_labels=encoder.num_labels,
    )
    model = MultiExitForSequenceClassification(config)
    model.encoder.load_state_dict(encoder.state_dict())
    model.save_pretrained(tmp_path / "export")
    loaded = MultiExitForSequenceClassification.from_pretrained(tmp_path / "export")
    inputs = batch(RAGGED)
    with torch.no_grad():
        expected_BC = encoder(**inputs).logits_EBC[-1]
    torch.testing.assert_close(loaded(**inputs).logits, expected_BC, atol=1e-5, rtol=0)


def test_loading_needs_no_pooler_in_the_checkpoint(saved):
    encoder = EncoderConfig(backbone=saved, exits=[2]).build(2)
    assert encoder.num_layers == 2
    assert encoder.depth == 4
