"""The allocator is asked where it can be, and nowhere else."""

import ctypes
import platform

import pytest

from acl_lightning.training.allocator import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_glibc_takes_the_settings():
    assert keep_freed_memory()


@pytest.mark.parametrize("library", [object(), None])
def test_another_library_is_left_alone(library, monkeypatch):
    def opened(_):
        if library is None:
            raise OSError("no such library")
        return library

    monkeypatch.setattr(ctypes, "CDLL", opened)
    assert not keep_freed_memory()
