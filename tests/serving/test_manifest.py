"""Tests that damaged packages, and those of newer versions, are refused with the name of the file."""

import json
import shutil

import pytest

from acl_lightning.errors import UserError
from acl_lightning.serving import AdaptiveSession, read_manifest


@pytest.fixture
def copy(tiny_package, tmp_path):
    return shutil.copytree(tiny_package, tmp_path / "copy")


def change(directory, **entries) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_a_changed_or_truncated_file_is_named(copy):
    weights = copy / "weights.bin"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"the SHA-256 .* of .*weights.bin; found another content.*Copy the package"):
        AdaptiveSession(copy)
    read_manifest(copy, check_files=False)
    weights.write_bytes(content[:-100])
    with pytest.raises(UserError, match=rf"expected {len(content)} bytes in .*weights.bin; found {len(content) - 100}"):
        AdaptiveSession(copy, check_files=False)


def test_a_missing_file_is_named(copy):
    (copy / "whole_2.onnx").unlink()
    with pytest.raises(UserError, match=r"the file .*whole_2.onnx of the package; found No such file"):
        AdaptiveSession(copy)


def test_a_newer_schema_and_damaged_manifests_are_refused(copy, tmp_path):
    change(copy, schema_version=2)
    with pytest.raises(
        UserError, match=r"schema version 1 or less; found version 2 .*Install a newer acl-lightning-runtime"
    ):
        AdaptiveSession(copy)
    change(copy, schema_version=1, operating_points={"drop1": {"threshold": "high"}})
    with pytest.raises(UserError, match=r"the operating point 'drop1' in manifest\.json; found a damaged entry"):
        AdaptiveSession(copy)
    path = copy / "manifest.json"
    path.write_text('{"schema_version": 1}')
    with pytest.raises(UserError, match=r"the manifest of a package in .*; found no files, inputs"):
        AdaptiveSession(copy)
    path.write_text(path.read_text()[:-3])
    with pytest.raises(UserError, match="found a damaged file"):
        AdaptiveSession(copy)
    with pytest.raises(UserError, match=r"an adaptive ONNX package in .*; found no manifest.json.*--format onnx"):
        AdaptiveSession(tmp_path)


def test_a_graph_that_onnxruntime_cannot_read_is_named(copy):
    (copy / "row_first_1.onnx").write_text("not a graph")
    (copy / "tokenizer.json").write_text("{}")
    files = json.loads((copy / "manifest.json").read_text())["files"]
    from acl_lightning.serving.manifest import describe_file

    change(copy, files=files | {"row_first_1.onnx": describe_file(copy / "row_first_1.onnx")})
    with pytest.raises(UserError, match=r"bytes in .*tokenizer\.json"):
        AdaptiveSession(copy)
    change(copy, files={})
    with pytest.raises(UserError, match=r"a tokenizer in .*tokenizer\.json"):
        AdaptiveSession(copy)
