"""Tests that damaged packages, and those of newer versions, are refused with the name of the file."""

import json
import shutil

import pytest

from acl_lightning.errors import UserError
from acl_lightning.serving import AdaptiveSession, read_manifest
from acl_lightning.serving.manifest import describe_file
from acl_lightning.serving.manifest_entries import ENTRIES


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
    path = copy / "manifest.json"
    path.write_text('{"schema_version": 1}')
    path.write_text(path.read_text()[:-3])
    with pytest.raises(UserError, match="found a damaged file"):
        AdaptiveSession(copy)
    with pytest.raises(UserError, match=r"an adaptive ONNX package in .*; found no manifest.json.*--format onnx"):
        AdaptiveSession(tmp_path)


#: Values that no entry may have, apart from `ALLOWED`.
WRONG = (3.5, True, [None], {"a": 3}, "x")
ALLOWED = {("full_depth", 3), ("recommended_point", 4)}


def test_every_entry_of_another_type_is_named(copy):
    path = copy / "manifest.json"
    content = json.loads(path.read_text())
    for name, entry in ENTRIES.items():
        wrong = [value for number, value in enumerate(WRONG) if (name, number) not in ALLOWED]
        for value in wrong if entry.optional else [None, *wrong]:
            path.write_text(json.dumps({**content, name: value}))
            with pytest.raises(UserError, match=rf"as '{name}' in .*manifest\.json; found .*Copy the package again"):
                read_manifest(copy, check_files=False)
        path.write_text(json.dumps({key: value for key, value in content.items() if key != name}))
        if not entry.optional:
            with pytest.raises(UserError, match=rf"the entry '{name}' in .*manifest\.json; found none"):
                read_manifest(copy, check_files=False)
        else:
            read_manifest(copy, check_files=False)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("exit_layers", []),
        ("exit_layers", [2, 1, 4]),
        ("exit_layers", [1, 2, 9]),
        ("segments", {"whole": ["whole_1.onnx"] * 3}),
        ("segments", {"whole": ["whole_1.onnx"] * 2, "row_first": ["whole_1.onnx"] * 3}),
        ("temperatures", [1.0, 1.0]),
        ("temperatures", [1.0, 0.0, 1.0]),
        ("text_columns", ["a", "b", "c"]),
        ("max_length", 0),
        ("pad_token_id", -1),
    ],
)
def test_an_entry_out_of_its_range_is_named(copy, entry, value):
    change(copy, **{entry: value})
    with pytest.raises(UserError, match=rf"as '{entry}' in .*manifest\.json; found "):
        read_manifest(copy, check_files=False)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"threshold": "high"}, "a finite number as 'threshold' in the operating point 'drop1' of .*; found 'high'"),
        ({"threshold": float("nan")}, "a finite number as 'threshold' .*; found nan"),
        ({"criterion": "entropy"}, "name and settings of a criterion as 'criterion' .*; found 'entropy'"),
        ({"criterion": {"name": ["entropy"]}}, "name and settings of a criterion as 'criterion'"),
        ({"criterion": {"name": "entropy", "settings": 3}}, "name and settings of a criterion as 'criterion'"),
        ({"temperatures": [1.0]}, "a positive number per exit as 'temperatures'"),
        ({"measured": []}, "measurements by name as 'measured'"),
    ],
)
def test_a_damaged_operating_point_is_named(copy, entries, message):
    point = {"criterion": {"name": "entropy", "settings": {}}, "threshold": 0.3, **entries}
    change(copy, operating_points={"drop1": point})
    with pytest.raises(UserError, match=message):
        AdaptiveSession(copy, check_files=False)


def test_a_file_that_cannot_be_loaded_is_named(copy):
    for name, message in [
        ("tokenizer.json", r"a tokenizer in .*tokenizer\.json; found "),
        ("row_first_1.onnx", r"to load .*row_first_1\.onnx into onnxruntime; found "),
    ]:
        undamaged = (copy / name).read_bytes()
        (copy / name).write_text("{}")
        files = json.loads((copy / "manifest.json").read_text())["files"]
        change(copy, files=files | {name: describe_file(copy / name)})
        with pytest.raises(UserError, match=message):
            AdaptiveSession(copy)
        (copy / name).write_bytes(undamaged)
        change(copy, files=files)
    assert len(AdaptiveSession(copy)(["w1"])) == 1
