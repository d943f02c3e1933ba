"""Command line of a trial: macros of W&B, and the configuration files that a command names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from acl_lightning.errors import UserError
from acl_lightning.studies.trials.schema import check_name
from acl_lightning.studies.trials.values import JsonValue, Parameters

_MACRO = re.compile(r"\$\{([^}]*)\}")

#: Options that name a configuration file.
CONFIG_OPTIONS = ("--config", "-c")


def _flags(parameters: Parameters) -> list[str]:
    return [f"--{name}={value}" for name, value in parameters.items()]


#: Macro of W&B that stands for the parameters -> items of the command, from the parameters and the file with them.
ARGUMENTS: dict[str, Callable[[Parameters, Path], list[str]]] = {
    "args": lambda parameters, file: _flags(parameters),
    "args_json": lambda parameters, file: [json.dumps(parameters)],
    "args_json_file": lambda parameters, file: [str(file)],
}

#: Macro -> item of the command.
PROGRAMS = {"env": "/usr/bin/env", "interpreter": "python"}


def check_command(command: Sequence[str], path: Path) -> None:
    """Refuse a command without the parameters, or with a macro that this program does not know.

    Raises:
        UserError: See above.
    """
    known = [*PROGRAMS, *ARGUMENTS, "program"]
    macros = [name for item in command for name in _MACRO.findall(item) if not name.startswith("envvar:")]
    for name in macros:
        check_name(name, known, "macro ${...} of the command", path)
    if not set(macros) & ARGUMENTS.keys():
        raise UserError(
            f"a macro for the parameters in the command of {path}",
            " ".join(command),
            'Add --config and "${args_json_file}" to the command.',
        )


def expand(command: Sequence[str], parameters: Parameters, file: Path, program: str) -> list[str]:
    """Return the command line of a trial, as W&B's agent builds it.

    Args:
        command: Items of the sweep's command, with macros.
        parameters: Parameters of the trial.
        file: JSON file with the parameters.
        program: Value of the macro `program`.
    """
    expanded: list[str] = []
    for item in command:
        macro = _MACRO.fullmatch(item)
        if macro and macro[1] in ARGUMENTS:
            expanded += ARGUMENTS[macro[1]](parameters, file)
        else:
            expanded.append(_MACRO.sub(lambda match: _text(match[1], program), item))
    return expanded


def _text(name: str, program: str) -> str:
    if name.startswith("envvar:"):
        variable = name.removeprefix("envvar:")
        return os.environ.get(variable, variable)
    return program if name == "program" else PROGRAMS[name]


def arguments_of_fit(command: Sequence[str]) -> list[str] | None:
    """Return the arguments after `fit` in a command that runs this program; None for other commands."""
    for position in range(1, len(command)):
        program = Path(command[position - 1]).name
        if command[position] == "fit" and program in {"acl_lightning", "acl-lightning"}:
            return list(command[position + 1 :])
    return None


def split_configurations(command: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the configuration files that a command names, and its other items; macros for the parameters are neither.

    Args:
        command: Items of the sweep's command, with macros.
    """
    files, others = [], []
    items = iter(command)
    for item in items:
        option, _, value = item.partition("=")
        if option in CONFIG_OPTIONS:
            file = value or next(items, "")
            if not _MACRO.search(file):
                files.append(file)
        elif not (macro := _MACRO.fullmatch(item)) or macro[1] not in ARGUMENTS:
            others.append(item)
    return files, others


def named_configurations(parameters: Parameters) -> list[str]:
    """Return the configuration files that the parameter `config` names."""
    value: JsonValue = parameters.get("config")
    if value is None:
        return []
    return [str(name) for name in value] if isinstance(value, list | tuple) else [str(value)]
