"""Where a result comes from: versions, commit, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

import acl_lightning

#: Top of the checkout, if this package lies in one.
CHECKOUT = Path(__file__).resolve().parents[2]

PACKAGES = ("torch", "lightning", "transformers")


def versions() -> dict[str, str | None]:
    """Version of Python, of this package, and of what computes; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "acl_lightning": acl_lightning.__version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_state(directory: Path = CHECKOUT) -> dict[str, str | bool] | None:
    """Commit of the checkout whose top is `directory`, and whether tracked files differ from it (`dirty`).

    None where `directory` is not the top of a checkout: an installed package inside another repository must not claim
    that one's commit.
    """
    top = _git(directory, "rev-parse", "--show-toplevel")
    commit = _git(directory, "rev-parse", "HEAD")
    if not top or not commit or Path(top).resolve() != directory.resolve():
        return None
    return {"commit": commit, "dirty": bool(_git(directory, "status", "--porcelain", "--untracked-files=no"))}


def device_name(device: torch.device) -> str:
    """The accelerator's name, or the processor's architecture for the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()})"


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):  # no git, no repository, or one that does not answer
        return None
    return answer.stdout.strip()
