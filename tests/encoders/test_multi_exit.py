"""The encoder with exits: outputs, names of parameters, removed layers, and two equal ways through a layer."""

import copy

import pytest
import torch
from tiny_models import EVEN, FAMILIES, RAGGED, batch, tiny
from torch.nn.functional import cross_entropy

from acl_lightning.encoders import EXIT_ROWS, BertFamily, ExitHead, MultiExitEncoder


def encoder_of(family="bert", exits=(1, 2, 3, 4), kind="mean_row", separate=False, labels=3, **model):
    backbone = BertFamily(tiny(family, **model))
    heads = [ExitHead(24, labels, pooler=True, pretrained_pooler=backbone.pooler(), dropout=0.1) for _ in exits]
    rows = [EXIT_ROWS[kind](24) for _ in exits]
    return MultiExitEncoder(backbone, exits, rows, heads, separate_label_embeddings=separate).eval()


@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_outputs_have_one_entry_per_exit(kind):
    encoder = encoder_of(exits=(1, 3), kind=kind)
    outputs = encoder(**batch(RAGGED))
    assert outputs.embeddings_EBD.shape == (2, 5, 24)
    assert outputs.logits_EBC.shape == (2, 5, 3)
    assert outputs.label_embeddings_ECD.shape == (2, 3, 24)
    assert (encoder.exit_layers, encoder.num_exits, encoder.depth, encoder.num_labels) == ((1, 3), 2, 4, 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_cls_exits_are_the_heads_of_hugging_face_states(family):
    encoder, model = encoder_of(family, exits=(2, 4), kind="cls"), tiny(family)
    inputs = batch(RAGGED)
    with torch.no_grad():
        hidden = model(**inputs, output_hidden_states=True).hidden_states
        outputs = encoder(**inputs)
    for exit_, layer in enumerate((2, 4)):
        embedding_BD, logits_BC = encoder.heads[exit_](hidden[layer][:, 0])
        torch.testing.assert_close(outputs.embeddings_EBD[exit_], embedding_BD, atol=1e-5, rtol=0)
        torch.testing.assert_close(outputs.logits_EBC[exit_], logits_BC, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_an_exit_does_not_depend_on_which_others_there_are(kind):
    torch.manual_seed(0)
    many = encoder_of(kind=kind)
    one = MultiExitEncoder(copy.deepcopy(many.backbone), (3,), [many.exit_rows[2]], [many.heads[2]]).eval()
    with torch.no_grad():
        expected, found = many(**batch(RAGGED)).logits_EBC[2], one(**batch(RAGGED)).logits_EBC[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_layers_above_the_deepest_exit_are_removed_but_counted():
    encoder = encoder_of(exits=(1, 2))
    assert len(encoder.backbone.model.encoder.layer) == encoder.num_layers == 2
    assert encoder.depth == 4
    assert not [name for name, _ in encoder.named_parameters() if "layer.2" in name]


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("kind", EXIT_ROWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_trained(family, kind, separate):
    encoder = encoder_of(family, exits=(1, 3), kind=kind, separate=separate).train()
    outputs = encoder(**batch(RAGGED))
    labels = torch.tensor([0, 1, 2, 0, 1])
    loss = sum(cross_entropy(logits_BC, labels) for logits_BC in outputs.logits_EBC)
    (loss + outputs.label_embeddings_ECD.square().sum()).backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    # The key's bias moves every score of a row alike, so its gradient vanishes by nature.
    still = [name for name, p in encoder.named_parameters() if not p.grad.any() and not name.endswith("key.bias")]
    assert still == []


def test_names_of_pretrained_parameters_start_with_backbone():
    encoder = encoder_of(kind="probe", separate=True)
    starts = {name.split(".")[0] for name, _ in encoder.named_parameters()}
    assert starts == {"backbone", "exit_rows", "heads", "label_embeddings"}


def test_tied_label_embeddings_are_the_classifiers_rows_and_carry_a_gradient():
    encoder = encoder_of()
    found = encoder(**batch(EVEN)).label_embeddings_ECD
    assert torch.equal(found[2], encoder.heads[2].classifier.weight)
    found[2].sum().backward()
    assert encoder.heads[2].classifier.weight.grad.eq(1).all()


def test_separate_label_embeddings_are_additional_parameters():
    encoder = encoder_of(separate=True)
    assert encoder(**batch(EVEN)).label_embeddings_ECD is encoder.label_embeddings
    assert encoder.label_embeddings.shape == (4, 3, 24)


@torch.no_grad()
@pytest.mark.parametrize("lengths", [RAGGED, EVEN])
@pytest.mark.parametrize("kind", EXIT_ROWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_exit_first_and_finish_equal_advance(family, kind, lengths):
    encoder = encoder_of(family, kind=kind)
    state = encoder.embed(**batch(lengths))
    for layer in range(3):
        step = encoder.advance(layer, state)
        reading, half = encoder.exit_first(layer, state)
        torch.testing.assert_close(reading.logits_BC, step.logits_BC, atol=1e-5, rtol=0)
        state = encoder.finish(half)
        torch.testing.assert_close(state.hidden_BSD, step.following.hidden_BSD, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_samples_can_be_dropped_between_exit_first_and_finish(kind):
    encoder = encoder_of(kind=kind)
    state = encoder.embed(**batch(RAGGED))
    _, half = encoder.exit_first(0, state)
    rows = torch.tensor([1, 0])
    kept = encoder.finish(half.select(rows, 7))
    expected = encoder.advance(0, state).following
    torch.testing.assert_close(kept.hidden_BSD, expected.hidden_BSD[rows, :7], atol=1e-5, rtol=0)
    assert torch.equal(kept.mask_BS, expected.mask_BS[rows, :7])


def test_advance_returns_none_without_an_exit_and_after_the_deepest_exit():
    encoder = encoder_of(exits=(2, 3))
    state = encoder.embed(**batch(EVEN))
    step = encoder.advance(0, state)
    assert step.logits_BC is None
    assert step.embedding_BD is None
    assert not encoder.has_exit(0)
    assert encoder.has_exit(2)
    assert encoder.advance(2, state).following is None


@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_bfloat16_autocast_stays_near_float32(kind):
    encoder = encoder_of(kind=kind)
    with torch.no_grad():
        expected = encoder(**batch(RAGGED))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = encoder(**batch(RAGGED))
    assert found.logits_EBC.dtype == torch.bfloat16
    torch.testing.assert_close(found.embeddings_EBD.float(), expected.embeddings_EBD, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_gradient_checkpointing_does_not_change_the_gradients(kind):
    gradients = []
    for saving in (False, True):
        torch.manual_seed(2)
        encoder = encoder_of(kind=kind).train()
        encoder.backbone.gradient_checkpointing = saving
        torch.manual_seed(3)
        loss = encoder(**batch(RAGGED)).embeddings_EBD.square().sum()
        gradients.append(torch.autograd.grad(loss, list(encoder.parameters()), allow_unused=True))
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_state_dict_can_be_loaded():
    one, other = encoder_of(kind="probe", separate=True), encoder_of(kind="probe", separate=True)
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(one(**batch(RAGGED)).logits_EBC, other(**batch(RAGGED)).logits_EBC)
