"""Tests that rewrites of translated graphs remove operators and keep the results."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from packages import tiny_encoder
from tiny_models import batch

from acl_lightning.encoders import MODEL_INPUTS
from acl_lightning.export.onnx_graph import example_batch
from acl_lightning.export.onnx_package import graphs
from acl_lightning.export.onnx_package.rewrites import simplify
from acl_lightning.export.onnx_package.segments import Segment, example_inputs


def results(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs of a graph on onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, inputs)


@pytest.mark.parametrize("variant", ["whole", "row_first"])
def test_rewrites_keep_the_results(variant, monkeypatch):
    monkeypatch.setattr(graphs, "simplify", lambda model: None)
    segment = Segment(tiny_encoder().eval().requires_grad_(False), 0, variant, MODEL_INPUTS).eval()
    before = graphs.segment_graph(segment, example_inputs([segment], example_batch([3, 2]))[0])
    after = onnx.ModelProto.FromString(before.SerializeToString())
    simplify(after)
    kinds = [Counter(node.op_type for node in model.graph.node) for model in (before, after)]
    assert kinds[0]["Reshape"] > kinds[1]["Reshape"]
    if variant == "whole":
        assert not {"Transpose", "Reshape", "Split"} & kinds[1].keys()
        assert kinds[0]["Squeeze"] > kinds[1]["Squeeze"]
        biases = [node.input[3] for node in after.graph.node if node.op_type == "MultiHeadAttention"]
        assert all(biases)
    tokens = {name: batch([5, 2, 7])[name].numpy() for name in MODEL_INPUTS}
    for old, new in zip(results(before, tokens), results(after, tokens), strict=True):
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-5)
