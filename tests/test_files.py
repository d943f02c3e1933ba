"""Tests of atomic writing, also on a disk that fails."""

import errno
import warnings
from pathlib import Path

import pytest

from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically, save_figure, write_text_atomically


def test_a_file_is_written_with_its_directory(tmp_path):
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


def test_an_error_of_the_writer_is_raised_unchanged(tmp_path):
    with pytest.raises(ZeroDivisionError), replaced_atomically(tmp_path / "x.csv"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_characters_that_fonts_lack_are_one_warning_and_other_warnings_stay(tmp_path, recwarn):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.suptitle("".join(map(chr, range(0x4E00, 0x4E0C))))
    with pytest.warns(
        UserWarning, match="figure.png shows boxes .*: 一丁丂七丄丅丆万丈三 and others. Set fo"
    ) as caught:
        save_figure(figure, tmp_path / "figure.png", dpi=20)
    assert len(caught) == 1

    class Other:
        def savefig(self, path, dpi):
            warnings.warn("of a library", RuntimeWarning, stacklevel=1)

    with pytest.warns(RuntimeWarning, match="of a library"):
        save_figure(Other(), tmp_path / "other.png")
