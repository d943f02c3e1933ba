"""Encoders of images: stepping equals transformers, exits after the final norm, adaptive inference, FLOPs."""

import copy

import pytest
import torch
from tiny_models import ALL_FAMILIES, IMAGE_FAMILIES, images, tiny
from torch.nn.functional import cross_entropy

from acl_lightning.encoders import (
    ADAPTERS,
    EXIT_ROWS,
    ExitHead,
    MultiExitEncoder,
    exit_flops,
    full_depth_flops,
    model_inputs,
)
from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence
from acl_lightning.exits.inference import AdaptiveRuntime

FAMILIES_BY_NAME = pytest.mark.parametrize("family", IMAGE_FAMILIES)
#: Tokens of an image: [CLS], the distillation token of DeiT, and four patches.
TOKENS = {"vit": 5, "deit": 6, "dinov2": 5, "dinov2-swiglu": 5}


def backbone_of(family, model=None):
    return ADAPTERS[ALL_FAMILIES[family][0]](copy.deepcopy(model or tiny(family))).eval()


def encoder_of(family, kind="mean_row", exits=(1, 2, 3, 4)):
    backbone = backbone_of(family)
    torch.manual_seed(4)
    heads = [ExitHead(24, 3, pooler=False, pretrained_pooler=None, dropout=0.0) for _ in exits]
    for head in heads:
        head.classifier.weight.data.normal_()
    return MultiExitEncoder(backbone, exits, [EXIT_ROWS[kind](24) for _ in exits], heads).eval()


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@FAMILIES_BY_NAME
def test_steps_equal_the_hugging_face_hidden_states(family, attention):
    model = tiny(family, attention=attention)
    outputs = model(**images(3), output_hidden_states=True)
    backbone = backbone_of(family, model)
    state = backbone.embed(**images(3))
    assert state.hidden_BSD.shape == (3, TOKENS[family], 24)
    assert backbone.max_tokens == TOKENS[family]
    for layer in range(4):
        torch.testing.assert_close(state.hidden_BSD, outputs.hidden_states[layer], atol=1e-5, rtol=0)
        state = backbone.layer(layer, state)
    torch.testing.assert_close(backbone.exit_norm(state.hidden_BSD), outputs.last_hidden_state, atol=1e-5, rtol=0)
    assert (state.hidden_BSD - outputs.last_hidden_state).abs().max() > 0.1  # the norm does something


@torch.no_grad()
@FAMILIES_BY_NAME
def test_dropping_images_between_layers_changes_nothing_for_the_others(family):
    backbone = backbone_of(family)
    state = whole = backbone.embed(**images(5))
    for layer, rows in enumerate([[0, 1, 2, 3], [3, 0, 1], [1, 2], [0]]):
        whole, state = backbone.layer(layer, whole), backbone.layer(layer, state)
        kept = torch.tensor(rows)
        state, whole = state.select(kept, 6), whole.select(kept, 6)
        torch.testing.assert_close(state.hidden_BSD, whole.hidden_BSD, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", EXIT_ROWS)
@FAMILIES_BY_NAME
def test_exit_first_and_finish_equal_advance(family, kind):
    encoder = encoder_of(family, kind)
    state = encoder.embed(**images(3))
    for layer in range(3):
        step = encoder.advance(layer, state)
        reading, half = encoder.exit_first(layer, state)
        torch.testing.assert_close(reading.logits_BC, step.logits_BC, atol=1e-5, rtol=0)
        state = encoder.finish(half)
        torch.testing.assert_close(state.hidden_BSD, step.following.hidden_BSD, atol=1e-5, rtol=0)


@torch.no_grad()
@FAMILIES_BY_NAME
def test_exits_read_rows_after_the_final_norm(family):
    outputs = tiny(family)(**images(3), output_hidden_states=True)
    model = backbone_of(family).model
    cls, pool = encoder_of(family, "cls", (2, 4)), encoder_of(family, "mean_pool", (2, 4))
    normed_BSD = model.layernorm(outputs.hidden_states[2])
    for encoder, row_BD in ((cls, normed_BSD[:, 0]), (pool, normed_BSD.mean(dim=1))):
        expected_BC = encoder.heads[0].classifier(row_BD)
        torch.testing.assert_close(encoder(**images(3)).logits_EBC[0], expected_BC, atol=1e-5, rtol=0)
    expected_BC = cls.heads[1].classifier(outputs.last_hidden_state[:, 0])
    torch.testing.assert_close(cls(**images(3)).logits_EBC[1], expected_BC, atol=1e-5, rtol=0)


@FAMILIES_BY_NAME
def test_every_parameter_is_trained(family):
    encoder = encoder_of(family, exits=(1, 3)).train()
    labels = torch.tensor([0, 1, 2, 0])
    sum(cross_entropy(logits_BC, labels) for logits_BC in encoder(**images(4)).logits_EBC).backward()
    trained = [(name, p) for name, p in encoder.named_parameters() if "mask_token" not in name]
    assert [name for name, p in trained if p.grad is None or not p.grad.isfinite().all()] == []
    assert [name for name, p in trained if not p.grad.any() and not name.endswith("k_proj.bias")] == []
    assert encoder.backbone.layers_of("model.layernorm.weight") == (4,)


@FAMILIES_BY_NAME
@pytest.mark.parametrize("mode", ["latency", "batch", "throughput"])
def test_adaptive_inference_equals_the_outputs_of_the_exits(family, mode):
    encoder = encoder_of(family)
    with torch.no_grad():
        logits_EBC = encoder(**images(6)).logits_EBC
    confidence_EB = logits_EBC.softmax(-1).amax(-1)
    ascending = confidence_EB[:3].flatten().sort().values
    threshold = float(ascending[8:10].mean())  # between two values, so that rounding changes no decision
    batches = [{"pixel_values": part} for part in images(6)["pixel_values"].split([4, 2])]
    for row_first in (0, 10_000):
        runtime = AdaptiveRuntime(encoder, Confidence(), threshold, row_first_tokens=row_first)
        decisions = [*runtime.stream(batches, mode)]
        exits_B = torch.cat([decision.exit_B for decision in decisions])
        leaves_EB = torch.cat([confidence_EB[:-1] >= threshold, torch.ones(1, 6, dtype=torch.bool)])
        assert exits_B.tolist() == leaves_EB.int().argmax(dim=0).tolist()
        assert len(set(exits_B.tolist())) > 1
        found_BC = torch.cat([decision.logits_BC for decision in decisions])
        torch.testing.assert_close(found_BC, logits_EBC[exits_B, torch.arange(6)], atol=1e-5, rtol=0)


def test_operations_of_a_vit_equal_the_formula():
    d, inner, tokens = 24, 40, 5
    patches = 2 * 4 * d * (2 * 4 * 4)
    keys_values = 2 * tokens * 2 * d * d

    def rows(number):
        return 2 * number * (d * d + 2 * tokens * d + d * d + 2 * d * inner)

    encoder = encoder_of("vit", "cls", (1, 4))
    head = 2 * d * 3
    whole, last = keys_values + rows(tokens), keys_values + rows(1)
    assert full_depth_flops(encoder, 99) == patches + 3 * whole + last + head
    first = patches + last + head
    assert exit_flops(encoder, 5) == (first, first + rows(tokens) + 2 * whole + last + head)


def test_images_of_another_size_are_refused():
    with pytest.raises(UserError, match=r"images of 2 x 8 x 8 .*; found 3 x 8 x 9\. Set data.image_size to 8"):
        backbone_of("vit").embed(torch.zeros(1, 3, 8, 9))


def test_pixel_values_are_inputs_of_an_encoder():
    batch = {**images(2), "labels": torch.zeros(2)}
    assert model_inputs(batch).keys() == {"pixel_values"}
