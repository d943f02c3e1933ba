"""Limits for runs of other people: the classes that they may name and the places where they may write.

`fit` treats a configuration as code of the user. Every other command reads a run, which may come from another person.
It builds classes of this package, some classes of Lightning, and classes that the user names with `--trust`. See
docs/security.md.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace, _common, set_parsing_settings
from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from acl_lightning.errors import UserError
from acl_lightning.runs.names import CHECKPOINTS

#: Classes of Lightning that a run may name: no setting of theirs names code to run or a file to open.
LIGHTNING = (
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.loggers.csv_logs.CSVLogger",
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.loggers.tensorboard.TensorBoardLogger",
    "lightning.pytorch.loggers.WandbLogger",
    "lightning.pytorch.loggers.wandb.WandbLogger",
    "lightning.pytorch.callbacks.EarlyStopping",
    "lightning.pytorch.callbacks.early_stopping.EarlyStopping",
    "lightning.pytorch.callbacks.LearningRateMonitor",
    "lightning.pytorch.callbacks.lr_monitor.LearningRateMonitor",
    "lightning.pytorch.callbacks.RichProgressBar",
    "lightning.pytorch.callbacks.progress.rich_progress.RichProgressBar",
    "lightning.pytorch.callbacks.TQDMProgressBar",
    "lightning.pytorch.callbacks.progress.tqdm_progress.TQDMProgressBar",
    "lightning.pytorch.strategies.DDPStrategy",
    "lightning.pytorch.strategies.ddp.DDPStrategy",
)

#: Names that the user has trusted in this process, in order.
_trusted: list[str] = []


def split_trust(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line into the arguments without `--trust`, and the values of `--trust`.

    Raises:
        UserError: `--trust` without a value.
    """
    rest: list[str] = []
    names: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--trust":
            names.append(next(remaining, ""))
        elif argument.startswith("--trust="):
            names.append(argument.removeprefix("--trust="))
        else:
            rest.append(argument)
    return rest, names


def trust(names: Iterable[str]) -> None:
    """Import modules that the user trusts, from installed packages or the working directory; register their criteria.

    Args:
        names: Dotted names of packages, modules or classes. Runs may then name everything below them.

    Raises:
        UserError: A name is no dotted name, or cannot be imported.
    """
    for name in names:
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name) or name.partition(".")[0] == "jsonargparse":
            raise UserError("--trust PACKAGE.MODULE or a class in it", f"{name!r}", "Example: --trust mine.criteria")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)  # last, so that nothing in there is taken for a library
        try:
            module = _imported(name)
        except (ImportError, AttributeError) as error:
            raise UserError(f"a module or a class at --trust {name}", f"{error}", "Check its spelling.") from error
        from acl_lightning.exits.criteria.registry import register_module  # imports torch

        register_module(module)
        _trusted.append(name)


def _imported(name: str) -> Any:
    """Return the module of this name, or the module that defines the class of this name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        parent, _, last = name.rpartition(".")
        if not parent or error.name != name:
            raise
        module = importlib.import_module(parent)
        getattr(module, last)
        return module


def allowed() -> tuple[str, ...]:
    """Return the dotted names that a run may use, with everything below them."""
    return ("acl_lightning", *LIGHTNING, *_trusted)


def is_allowed(path: str) -> bool:
    """Return whether a run may name the class of this path."""
    return any(f"{path}.".startswith(f"{name}.") for name in allowed())


def check_classes(settings: object, origin: Path) -> None:
    """Refuse settings that name a class of another package, before anything is imported.

    Args:
        settings: Content of a configuration: mappings, lists and plain values.
        origin: The file, for the message.

    Raises:
        UserError: A `class_path` anywhere in the settings that is not `allowed`.
    """
    if isinstance(settings, Mapping):
        if "class_path" in settings:
            path = str(settings["class_path"])
            if "." in path and not is_allowed(path):
                raise foreign_class(path, f" in {origin}")
        for value in settings.values():
            check_classes(value, origin)
    elif isinstance(settings, list | tuple):
        for value in settings:
            check_classes(value, origin)


@contextlib.contextmanager
def only_trusted_classes() -> Iterator[None]:
    """Let jsonargparse import only what is `allowed`, and OmegaConf read neither environment variables nor modules.

    This covers class paths that are plain strings (`gradient_rule: os.system`) and callables, too. The settings of both
    libraries are global; they are restored at the end.
    """
    known = {key: _common.parsing_settings[key] for key in ("import_path_verdicts", "import_paths_enforced")}
    resolvers: dict[str, Any] = {"oc.env": oc.env, "oc.coerce": oc.coerce}  # `oc.coerce` imports a module
    try:
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(allowed()))
        for name in resolvers:
            OmegaConf.register_resolver(name, _refusing(name), replace=True, annotation_validation="off")
        yield
    finally:
        _common.parsing_settings.update(known)
        for name, resolver in resolvers.items():
            OmegaConf.register_resolver(name, resolver, replace=True, annotation_validation="off")


def _refusing(name: str) -> Any:
    def refuse(*arguments: object) -> None:
        raise UserError(
            "the configuration of a run, with every value resolved",
            f"${{{name}:{','.join(map(str, arguments))}}}",
            "Give RUN/config.yaml, in which fit has resolved it, or the value on the command line.",
        )

    return refuse


def refusal(message: str) -> UserError | None:
    """Return the error for a message of jsonargparse about a forbidden import; None for other messages."""
    denied = re.search(r"Importing '([^']*)' is not allowed", message)
    return foreign_class(denied[1]) if denied else None


def foreign_class(path: str, place: str = "") -> UserError:
    """Return the error for a class of another package.

    Args:
        path: Full path of the class.
        place: Where it was found, for the message.
    """
    return UserError(
        f"classes of acl_lightning{place}",
        f"{path}",
        f"If you trust the code that defines it, add --trust {path.rpartition('.')[0] or path}.",
    )


def check_outputs(config: Namespace, arguments: Sequence[str]) -> None:
    """Refuse the configuration of a run that writes outside the run directory, or unpickles code.

    Settings of the command line itself come from the user and are not checked.

    Args:
        config: The parsed configuration of a command that reads a run.
        arguments: The command line.

    Raises:
        UserError: `run_dir` is not the run itself, an output is outside the run directory, or `weights_only` is false,
            so that a checkpoint may contain code.
    """
    if config.get("weights_only") is False and not _sets(arguments, "weights_only"):
        raise UserError("weights_only true or null in a run", "false", "Add --weights_only=true.")
    run_dir = None if config.run_dir is None else Path(config.run_dir).expanduser()
    if run_dir is not None and not _sets(arguments, "run_dir"):
        files = [Path(str(file)) for file in config.get("config") or []]
        runs = [file.parent for file in files]
        if config.ckpt_path and Path(config.ckpt_path).is_file():
            runs.append(Path(config.ckpt_path).parent.parent)
        if run_dir.resolve() not in [run.resolve() for run in runs]:
            raise _outside("run_dir", config.run_dir)
    if run_dir is not None and run_dir.is_dir():
        _check_links(run_dir)
    if not _sets(arguments, "exit.output"):
        _check_inside(run_dir, "exit.output", config.exit.output)
    loggers = config.trainer.logger
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        directory = logger.init_args.get("sub_dir") if isinstance(logger, Namespace) else None
        if directory is not None and not _sets(arguments, "trainer.logger"):
            _check_inside(run_dir, "trainer.logger.sub_dir", directory)
    cache = config.data.cache_dir
    if cache is not None and not _sets(arguments, "data.cache_dir"):
        config.data.cache_dir = known_cache(cache)


def known_cache(directory: str) -> str | None:
    """Return the directory if this program has filled it before; else None, the default cache."""
    return directory if (Path(directory).expanduser() / "acl_lightning").is_dir() else None


def _sets(arguments: Sequence[str], key: str) -> bool:
    """Whether the command line itself sets `key` or a part of it."""
    return any(re.match(rf"--{re.escape(key)}(?:[.=+]|$)", argument) for argument in arguments)


def _check_inside(directory: Path | None, key: str, value: str) -> None:
    """Refuse a path outside the directory: absolute, with `..`, or through a symbolic link."""
    root = (directory or Path("run")).resolve()  # a new directory holds no links
    if not (root / Path(value).expanduser()).resolve().is_relative_to(root):
        raise _outside(key, value)


def _check_links(directory: Path) -> None:
    """Refuse a run directory with symbolic links to other directories, where files could be overwritten.

    Checkpoints are only read here, so they may be on another disk.
    """
    for entry in directory.iterdir():
        leaves = entry.is_symlink() and not entry.resolve().is_relative_to(directory.resolve())
        if leaves and entry.name != CHECKPOINTS:
            raise UserError("a run directory without links to elsewhere", f"{entry}", "Choose another --run_dir.")


def _outside(key: str, value: object) -> UserError:
    return UserError(
        f"a configuration that writes into its own run only (or {key} on the command line)",
        f"{key}: {value}",
        f"Add --{key}=PATH to choose where to write.",
    )
