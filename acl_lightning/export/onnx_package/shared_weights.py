"""Writer of several ONNX graphs whose equal weights are stored once, in one file beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from acl_lightning.serving.manifest import WEIGHTS

#: Size in bytes from which a weight is stored in the shared file.
SHARED_FROM = 4096

#: Offsets are multiples of this, the size of a page, so that readers can map the file into memory.
ALIGNMENT = 4096


def write_graphs(graphs: Mapping[str, ModelProto], directory: Path) -> None:
    """Write ONNX files, and their weights into `weights.bin`.

    The segments of a layer and both variants read the same weights; stored once, they take a third of the space.

    Args:
        graphs: File name -> graph; the weights are moved out of the graphs.
        directory: Existing directory.
    """
    offsets: dict[str, int] = {}
    with (directory / WEIGHTS).open("wb") as file:
        for model in graphs.values():
            for tensor in model.graph.initializer:
                content = numpy_helper.to_array(tensor).tobytes()
                if len(content) < SHARED_FROM:
                    continue
                digest = hashlib.sha256(content).hexdigest()
                if digest not in offsets:
                    file.write(b"\0" * (-file.tell() % ALIGNMENT))
                    offsets[digest] = file.tell()
                    file.write(content)
                _refer(tensor, offsets[digest], len(content))
    for name, model in graphs.items():
        onnx.save(model, directory / name)


def _refer(tensor: TensorProto, offset: int, size: int) -> None:
    """Replace the values of a tensor by a reference into the shared file."""
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data"):
        tensor.ClearField(field)
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", str(offset)), ("length", str(size))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
