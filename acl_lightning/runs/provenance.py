"""Provenance of a result: configuration, versions, commit, machine and times."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import acl_lightning

if TYPE_CHECKING:
    import torch

#: Top of the checkout, if this package lies in one.
CHECKOUT = Path(__file__).resolve().parents[2]

#: Packages whose version can change the numbers of a run.
PACKAGES = ("torch", "lightning", "transformers")


@dataclass(frozen=True)
class Provenance:
    """Origin of a result. Every entry may be unknown.

    Attributes:
        config_hash: Hash of the resolved configuration, the identity of the run.
        config_files: Names of the configuration files on the command line, in order.
        seed: Seed of the run.
        precision: Precision of the Trainer.
        world_size: Number of processes.
        device: Name of the accelerator or architecture of the processor.
        versions: Version of Python, of this package, torch, lightning and transformers.
        git: Commit of the checkout, and whether its files differ from the commit (`dirty`).
        started: Start of the command, ISO 8601, UTC.
        finished: End of the command, ISO 8601, UTC.
        fit_seconds: Duration of the training; None where this process did not train.
        validate_seconds: Duration of the validation; None where this process did not validate.
    """

    config_hash: str | None = None
    config_files: tuple[str, ...] = ()
    seed: int | None = None
    precision: str | None = None
    world_size: int | None = None
    device: str | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    git: Mapping[str, str | bool] | None = None
    started: str | None = None
    finished: str | None = None
    fit_seconds: float | None = None
    validate_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the entries as plain values."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return values | {
            "config_files": list(self.config_files),
            "versions": dict(self.versions),
            "git": None if self.git is None else dict(self.git),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Provenance:
        """Return the provenance in the content of a `result.json`; what it lacks is unknown.

        Raises:
            TypeError: An entry has a wrong type.
        """
        values = {item.name: content[item.name] for item in dataclasses.fields(cls) if item.name in content}
        for name, value in values.items():
            expected = _TYPES.get(name, str)
            if value is not None and (not isinstance(value, expected) or isinstance(value, bool)):
                raise TypeError(f"{name} is {type(value).__name__}")
        values["config_files"] = tuple(str(name) for name in values.get("config_files") or ())
        values["versions"] = values.get("versions") or {}
        return cls(**values)


#: Types of the entries that are not text.
_TYPES: dict[str, tuple[type, ...]] = {
    "config_files": (list, tuple),
    "seed": (int,),
    "world_size": (int,),
    "versions": (dict,),
    "git": (dict,),
    "fit_seconds": (int, float),
    "validate_seconds": (int, float),
}


def versions() -> dict[str, str | None]:
    """Return the versions of Python, of this package and of `PACKAGES`; None for a package that is not installed."""
    installed: dict[str, str | None] = {"python": platform.python_version(), "acl_lightning": acl_lightning.__version__}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed[package] = None
    return installed


def git_state(directory: Path = CHECKOUT) -> dict[str, str | bool] | None:
    """Return the commit of a checkout, and whether tracked files differ from it (`dirty`).

    Args:
        directory: Top of the checkout.

    Returns:
        None where `directory` is not the top of a checkout: a package that is installed inside another repository must
        not claim the commit of that repository.
    """
    top = _git(directory, "rev-parse", "--show-toplevel")
    commit = _git(directory, "rev-parse", "HEAD")
    if not top or not commit or Path(top).resolve() != directory.resolve():
        return None
    return {"commit": commit, "dirty": bool(_git(directory, "status", "--porcelain", "--untracked-files=no"))}


def device_name(device: torch.device) -> str:
    """Return the name of the accelerator; for the CPU, the architecture of the processor."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()})"


def _git(directory: Path, *arguments: str) -> str | None:
    """Return the output of a git command; None without git, without a repository, or without an answer in 10 s."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
