"""A package written by hand whose answers follow from a formula, and that formula in plain Python.

Each word of the vocabulary has a value. With s the sum of the values of a text, the logits of the two exits are (-s, s)
and (-2 s, 2 s).
"""

import json
import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from acl_lightning.serving.manifest import MANIFEST, SCHEMA_VERSION, TOKENIZER, describe_file

#: Word -> value; `w7` is worth 0.7 and `v7` -0.7.
VALUES = {"[PAD]": 0.0, "[UNK]": 0.0}
VALUES |= {f"w{n}": n / 10 for n in range(1, 41)} | {f"v{n}": -n / 10 for n in range(1, 41)}
THRESHOLD = 0.9
MAX_LENGTH = 24


def expected(text: str, threshold: float = THRESHOLD) -> dict[str, object]:
    """Label, confidence and exit layer of a text at a threshold of the confidence."""
    total = sum(VALUES.get(word, 0.0) for word in text.split()[:MAX_LENGTH])
    confidence = 1 / (1 + math.exp(-2 * abs(total)))
    layer = 1 if confidence >= threshold else 2
    if layer == 2:
        confidence = 1 / (1 + math.exp(-4 * abs(total)))
    return {"label": "positive" if total > 0 else "negative", "confidence": confidence, "exit_layer": layer}


def write_package(directory: Path, text_columns: tuple[str, ...] = ("sentence",)) -> Path:
    """Write the package; return its directory."""
    directory.mkdir(parents=True)
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(VALUES)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(directory / TOKENIZER))
    table = numpy_helper.from_array(np.array([[value] for value in VALUES.values()], np.float32), "table")
    embed = [helper.make_node("Gather", ["table", "input_ids"], ["hidden_out"])]
    ids = [_value("input_ids", TensorProto.INT64, "BS"), _value("attention_mask", TensorProto.INT64, "BS")]
    hidden = _value("hidden", TensorProto.FLOAT, "BS1")
    passed = _value("hidden_out", TensorProto.FLOAT, "BS1")
    _save(directory / "exit_1.onnx", [*embed, *_head("hidden_out", 1.0)], ids, [passed], [table])
    _save(directory / "exit_2.onnx", _head("hidden", 2.0), [hidden, ids[1]], [], [])
    files = ["exit_1.onnx", "exit_2.onnx"]
    content = {
        "schema_version": SCHEMA_VERSION,
        "precision": "fp32",
        "task": "sums",
        "label_names": ["negative", "positive"],
        "text_columns": list(text_columns),
        "inputs": ["input_ids", "attention_mask"],
        "max_length": MAX_LENGTH,
        "pad_token_id": 0,
        "exit_layers": [1, 2],
        "depth": 2,
        "segments": {"row_first": files, "whole": files},
        "operating_points": {
            "certain": {"criterion": {"name": "confidence", "settings": {}}, "threshold": THRESHOLD},
            "fast": {"criterion": {"name": "static", "settings": {}}, "threshold": 1.0},
        },
        "recommended_point": "certain",
        "files": {path.name: describe_file(path) for path in sorted(directory.iterdir())},
    }
    (directory / MANIFEST).write_text(json.dumps(content))
    return directory


def _value(name: str, kind: int, axes: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [int(axis) if axis.isdigit() else axis for axis in axes])


def _head(hidden: str, factor: float) -> list[onnx.NodeProto]:
    weights = numpy_helper.from_array(np.array([[-factor, factor]], np.float32))
    axis = numpy_helper.from_array(np.array([1], np.int64))
    return [
        helper.make_node("Constant", [], ["weights"], value=weights),
        helper.make_node("Constant", [], ["axis"], value=axis),
        helper.make_node("Cast", ["attention_mask"], ["mask_BS"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["last"], value=numpy_helper.from_array(np.array([2], np.int64))),
        helper.make_node("Unsqueeze", ["mask_BS", "last"], ["mask"]),
        helper.make_node("Mul", [hidden, "mask"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "axis"], ["total"], keepdims=0),
        helper.make_node("MatMul", ["total", "weights"], ["logits"]),
    ]


def _save(path: Path, nodes, inputs, passed, initializers) -> None:
    outputs = [_value("logits", TensorProto.FLOAT, "B2"), *passed]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)
