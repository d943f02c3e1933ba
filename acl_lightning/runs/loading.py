"""Loading of a trained model from a run directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acl_lightning.errors import UserError
from acl_lightning.runs.checkpoints import find_checkpoint
from acl_lightning.runs.names import CHECKPOINTS, CONFIG, RESULT
from acl_lightning.runs.records.config import read_config
from acl_lightning.runs.records.result import read_result

if TYPE_CHECKING:
    from acl_lightning.data.task_module import TaskDataModule
    from acl_lightning.training.module import ACLModule

#: Sections of a configuration that describe the model and its data.
SECTIONS = ("model", "data", "seed_everything")


def load_run(
    directory: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None
) -> tuple[ACLModule, TaskDataModule]:
    """Build the module and the DataModule of a run from its `config.yaml`, with trained weights, ready for inference.

    A run may come from another person: classes of other packages are refused before anything is imported, unless the
    user has named the packages with `--trust` (in Python: `acl_lightning.runs.trust.trust(["mine"])`). See
    docs/security.md.

    Args:
        directory: Run directory that `fit` wrote: `config.yaml`, `checkpoints/`, `result.json`.
        checkpoint: `best`, `last` or a file; default: the checkpoint that `result.json` is about, else `best`.

    Returns:
        The module in evaluation mode on the CPU, and the DataModule, which has read no data yet: a `TextDataModule`, an
        `ImageDataModule`, or a class of the user's.

    Raises:
        UserError: There is no such run or no undamaged checkpoint in it; or its configuration does not fit: it was
            written by another version of this program, its data or backbone no longer exist, or it names classes of
            other packages.
    """
    import torch

    from acl_lightning.runs.data_modules import DATA_MODULE, DEFAULT_DATA_MODULE
    from acl_lightning.runs.trust import check_classes

    directory = Path(directory).expanduser()
    config = read_config(directory)
    settings = {name: config[name] for name in SECTIONS if name in config}
    check_classes(settings, directory / CONFIG)
    path = find_checkpoint(os.fspath(checkpoint or _measured_checkpoint(directory)), str(directory), "a finished run")
    kind = str(config.get(DATA_MODULE) or DEFAULT_DATA_MODULE)
    module, data = _built(settings, directory, kind)
    content = torch.load(str(path), map_location="cpu", weights_only=True)
    module.on_load_checkpoint(content)
    try:
        module.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"weights of {directory / CONFIG}'s shape in {path}",
            str(error).splitlines()[1].strip(),
            "Name the run that the checkpoint belongs to.",
        ) from error
    return module.eval(), data


def _measured_checkpoint(directory: Path) -> str:
    """Return the checkpoint that `result.json` is about if it is in the run directory, else `best`."""
    try:
        measured = read_result(directory).checkpoint
    except UserError:
        return "best"
    path = directory / CHECKPOINTS / Path(measured).name if measured else None
    return str(path) if path is not None and path.is_file() else "best"


def _built(settings: dict[str, Any], directory: Path, data_module: str) -> tuple[ACLModule, TaskDataModule]:
    """Build module and DataModule with the signatures and links of the command line, without a Trainer."""
    from jsonargparse import ArgumentParser

    from acl_lightning.runs.data_modules import data_module_class
    from acl_lightning.runs.sections import link_sections
    from acl_lightning.runs.trust import known_cache, only_trusted_classes, refusal
    from acl_lightning.training.module import ACLModule

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--seed_everything", type=bool | int, default=0)
    parser.add_class_arguments(ACLModule, "model", fail_untyped=False)
    data_class = data_module_class(data_module, only_trusted=True)
    parser.add_class_arguments(data_class, "data", fail_untyped=False)
    link_sections(parser, data_class)
    data = settings.get("data")
    if isinstance(data, dict) and isinstance(data.get("cache_dir"), str):
        settings = settings | {"data": data | {"cache_dir": known_cache(data["cache_dir"])}}
    try:
        with only_trusted_classes():
            built = parser.instantiate_classes(parser.parse_object(settings))
    except UserError:
        raise
    except Exception as error:  # jsonargparse wraps the exceptions of constructors
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, UserError):
            cause = cause.__cause__ or cause.__context__
        cause = cause or refusal(str(error))
        if cause is not None:
            raise cause from error
        raise UserError(
            f"a configuration of this version in {directory / CONFIG}",
            " ".join(str(error).split()),
            f"Use the version that wrote it (see {RESULT}), or train again.",
        ) from error
    return built.model, built.data
