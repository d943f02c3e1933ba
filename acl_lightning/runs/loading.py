"""A finished run, built again from its directory: for every command that looks at a trained model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser

from acl_lightning.data import GLUEDataModule
from acl_lightning.errors import UserError
from acl_lightning.legacy import present_names
from acl_lightning.runs.directory import CHECKPOINTS, find_checkpoint
from acl_lightning.runs.result import read_result
from acl_lightning.runs.sections import link_sections
from acl_lightning.runs.trust import check_classes, known_cache, only_trusted_classes, refusal
from acl_lightning.training.module import ACLModule

__all__ = ["SECTIONS", "load_run", "read_result"]

#: The sections of a configuration that say what a model is and which data it is about.
SECTIONS = ("model", "data", "seed_everything")


def load_run(
    directory: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None
) -> tuple[ACLModule, GLUEDataModule]:
    """Build the module and the DataModule of a run from its `config.yaml`, with trained weights, ready for inference.

    The run may come from somebody else: classes of foreign code are refused before anything is imported, unless the
    user has named them with `--trust` (in Python: `acl_lightning.runs.trust.trust(["mine"])`). See docs/security.md.

    Args:
        directory: what `fit` wrote: `config.yaml`, `checkpoints/`, `result.json`.
        checkpoint: `best`, `last` or a file; default: the one that `result.json` is about, else `best`.

    Returns:
        The module in evaluation mode on the CPU, and the DataModule, which has read nothing yet.

    Raises:
        UserError: no such run, no (undamaged) checkpoint in it, or a configuration that does not fit: of another
            version of this program, of data and weights that are gone, or that names foreign code.
    """
    directory = Path(directory).expanduser()
    settings = _settings(directory)
    check_classes(settings, directory / "config.yaml")
    path = find_checkpoint(os.fspath(checkpoint or _measured_checkpoint(directory)), str(directory), "a finished run")
    module, data = _built(settings, directory)
    content = torch.load(str(path), map_location="cpu", weights_only=True)
    module.on_load_checkpoint(content)
    try:
        module.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"weights of {directory / 'config.yaml'}'s shape in {path}",
            str(error).splitlines()[1].strip(),
            "Name the run that the checkpoint belongs to.",
        ) from error
    return module.eval(), data


def _settings(directory: Path) -> dict[str, Any]:
    path = directory / "config.yaml"
    remedy = "Name a directory that `fit` wrote."
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = f"{error.strerror}" if isinstance(error, OSError) else "a damaged file"
        raise UserError(f"the configuration of a run at {path}", reason, remedy) from error
    if not isinstance(settings, dict):
        raise UserError(f"the configuration of a run at {path}", "another file", remedy)
    settings, _ = present_names(settings)
    return {name: settings[name] for name in SECTIONS if name in settings}


def _measured_checkpoint(directory: Path) -> str:
    """The checkpoint that the run's result speaks of, as long as it lies where `fit` put it; else `best`."""
    try:
        measured = read_result(directory).get("checkpoint")
    except UserError:
        return "best"
    path = directory / CHECKPOINTS / Path(str(measured)).name if measured else None
    return str(path) if path is not None and path.is_file() else "best"


def _built(settings: dict[str, Any], directory: Path) -> tuple[ACLModule, GLUEDataModule]:
    """The two objects, through the same signatures and links as on the command line, without a Trainer."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=bool | int, default=0)
    parser.add_class_arguments(ACLModule, "model", fail_untyped=False)
    parser.add_class_arguments(GLUEDataModule, "data", fail_untyped=False)
    link_sections(parser)
    data = settings.get("data")
    if isinstance(data, dict) and isinstance(data.get("cache_dir"), str):
        settings = settings | {"data": data | {"cache_dir": known_cache(data["cache_dir"])}}
    try:
        with only_trusted_classes():
            built = parser.instantiate_classes(parser.parse_object(settings))
    except UserError:
        raise
    except Exception as error:  # jsonargparse wraps what constructors raise
        behind: BaseException | None = error
        while behind is not None and not isinstance(behind, UserError):
            behind = behind.__cause__ or behind.__context__
        behind = behind or refusal(str(error))
        if behind is not None:
            raise behind from error
        raise UserError(
            f"a configuration of this version in {directory / 'config.yaml'}",
            " ".join(str(error).split()),
            "Use the version that wrote it (see result.json), or train again.",
        ) from error
    return built.model, built.data
