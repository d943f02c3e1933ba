"""Packages of every family of texts: the logits of every exit, and the answers of a session, are those of torch."""

import numpy as np
import pytest
import torch
from tiny_models import FAMILIES, OTHER_FAMILIES, batch, tiny

from acl_lightning.encoders import EXIT_ROWS, MODEL_INPUTS, ExitHead, MultiExitEncoder
from acl_lightning.encoders.registry import ADAPTERS
from acl_lightning.exits import Confidence
from acl_lightning.exits.inference import AdaptiveRuntime
from acl_lightning.export.onnx_package import package as writer
from acl_lightning.export.onnx_package.graphs import OPSET
from acl_lightning.serving import MODES, AdaptiveSession

#: Families whose attention differs from that of BERT. The translation of a graph takes seconds, so without `slow` only
#: these are tested, and only graphs of whole layers; DeBERTa has no others.
FAST = ("modernbert", "deberta-v3")
LENGTHS = ([7, 3, 12, 1, 17], [6, 6, 6], [1], [18])
#: Largest number of tokens of every family: RoBERTa and MPNet count positions from 2.
MAX_LENGTH = 18


def encoder_of(family: str) -> MultiExitEncoder:
    """A random encoder with exits at its first and last layer, whose logits differ between samples."""
    model = tiny(family, **({} if family.startswith("albert") else {layers_of(family): 2}))
    backbone = ADAPTERS[model.config.model_type](model)
    torch.manual_seed(0)
    layers = (1, backbone.depth)
    heads = [ExitHead(24, 3, pooler=True, pretrained_pooler=None, dropout=0.1) for _ in layers]
    for head in heads:
        head.pooler.weight.data *= 20
        head.classifier.weight.data *= 60
    rows = [EXIT_ROWS["mean_row"](24) for _ in layers]
    return MultiExitEncoder(backbone, layers, rows, heads).eval().requires_grad_(False)


def layers_of(family: str) -> str:
    return "n_layers" if family == "distilbert" else "num_hidden_layers"


def threshold_for(encoder, inputs) -> float:
    """A confidence that two of the first four samples reach at the first exit."""
    logits_BC = encoder(**{name: batch(LENGTHS[0])[name] for name in inputs}).logits_EBC[0]
    middle = logits_BC.softmax(dim=-1).amax(dim=-1).sort().values[1:3]
    assert middle.diff() > 1e-3
    return float(middle.mean())


def write_package(encoder, tokenizer, directory):
    """Write the package that `export --format onnx` writes of an encoder, with one operating point."""
    has_types = getattr(encoder.backbone.model.config, "type_vocab_size", 0) > 1
    inputs = list(MODEL_INPUTS if has_types else MODEL_INPUTS[:2])
    directory.mkdir()
    (directory / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    segments = writer._write_segments(encoder, inputs, "fp32", directory, cosines=False)
    threshold = threshold_for(encoder, inputs)
    point = {"criterion": {"name": "confidence", "settings": {}}, "threshold": threshold, "temperatures": None}
    content = {
        "schema_version": 1,
        "precision": "fp32",
        "opset": OPSET,
        "label_names": ["bad", "fair", "good"],
        "text_columns": ["sentence"],
        "inputs": inputs,
        "max_length": MAX_LENGTH,
        "pad_token_id": 1,
        "exit_layers": list(encoder.exit_layers),
        "depth": encoder.depth,
        "segments": segments,
        "temperatures": None,
        "operating_points": {"drop1": point},
    }
    writer._write_manifest(directory, content)
    return inputs, threshold


def check(family, tokenizer, directory):
    encoder = encoder_of(family)
    inputs, threshold = write_package(encoder, tokenizer, directory)
    runtime = AdaptiveRuntime(encoder, Confidence(), threshold)
    exits = set()
    for mode in MODES:
        session = AdaptiveSession(directory, "drop1", mode=mode)
        for lengths in LENGTHS:
            tokens = {name: batch(lengths)[name] for name in inputs}
            arrays = {name: values.numpy() for name, values in tokens.items()}
            expected_EBC = encoder(**tokens).logits_EBC
            logits_EBC = session.exit_logits(arrays).logits_ENC
            np.testing.assert_allclose(logits_EBC, expected_EBC.numpy(), rtol=0, atol=3e-4)
            decided, expected = session.decide(arrays), runtime(**tokens)
            assert decided.exit_layers.tolist() == expected.exit_layer_B.tolist()
            np.testing.assert_allclose(decided.logits, expected.logits_BC.numpy(), rtol=0, atol=3e-4)
            exits |= {*decided.exit_layers.tolist()}
    assert exits == {*encoder.exit_layers}  # some samples leave early, some do not
    answers = session([" ".join(["w7 w9 w30"] * number) for number in (1, 4, 9)])  # the last is truncated
    assert len(answers.labels) == 3
    assert {*answers.labels} <= {"bad", "fair", "good"}


@pytest.mark.parametrize("family", FAST)
def test_a_package_of_whole_layers_agrees_with_torch(family, word_tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "has_row", lambda encoder, exit_: False)
    check(family, word_tokenizer, tmp_path / "package")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES | OTHER_FAMILIES)
def test_a_package_of_every_family_agrees_with_torch(family, word_tokenizer, tmp_path):
    check(family, word_tokenizer, tmp_path / "package")
