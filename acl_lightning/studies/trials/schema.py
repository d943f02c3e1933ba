"""Checks of a sweep file: names of keys, and W&B's own schema of sweeps."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from acl_lightning.errors import UserError

#: Methods of W&B that this program runs, too.
METHODS = ("grid", "random", "bayes")

#: Keys of a parameter.
PARAMETER_KEYS = ("value", "values", "probabilities", "distribution", "min", "max", *("mu", "sigma", "q", "a", "b"))


def read_sweep_file(path: Path) -> dict[str, Any]:
    """Return the content of a sweep file, checked.

    Raises:
        UserError: There is no such file, it is not YAML, an unknown key or method (the nearest valid name is in the
            message), or W&B's schema refuses it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            "a sweep file", f"{error.strerror}: {path}", "Set SWEEP to a file such as experiments/NAME/sweep.yaml."
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"YAML in {path}", reason, f"Correct the syntax of {path}.") from error
    if not isinstance(content, dict):
        kind = "an empty file" if content is None else f"a {type(content).__name__}"
        raise UserError(f"a sweep in {path}", kind, "Set the keys method, command and parameters.")
    _check_names(content, path)
    _check_schema(content, path)
    if not isinstance(content.get("command"), list) or not content["command"]:
        remedy = 'Set command to [python, -m, acl_lightning, fit, --config, FILE, --config, "${args_json_file}"].'
        raise UserError(f"a list for command in {path}", str(content.get("command")), remedy)
    return content


def check_name(name: str, names: Iterable[str], kind: str, path: Path) -> None:
    """Refuse a name that is not among the valid ones.

    Args:
        name: Name in the sweep file.
        names: Valid names.
        kind: Kind of the name, for the message.
        path: Sweep file.

    Raises:
        UserError: The name is unknown. The message names the nearest valid name, or all of them.
    """
    names = list(names)
    if name in names:
        return
    close = difflib.get_close_matches(str(name), names, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"Choose one of {', '.join(names)}."
    raise UserError(f"a valid {kind} in {path}", str(name), remedy)


def _check_names(content: Mapping[str, Any], path: Path) -> None:
    keys = list(_wandb_schema()["properties"])
    for key in content:
        check_name(key, keys, "key", path)
    if "method" in content:
        check_name(content["method"], METHODS, "method", path)
    for name, parameter in _mapping(content.get("parameters"), "parameters", path).items():
        for key in _mapping(parameter, f"parameters.{name}", path):
            check_name(key, [*PARAMETER_KEYS, "parameters"], f"key of the parameter {name}", path)


def _mapping(value: Any, key: str, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(
            f"a mapping for {key} in {path}",
            str(value),
            "Write for example parameters: {seed_everything: {values: [1]}}.",
        )
    return value


def _check_schema(content: Mapping[str, Any], path: Path) -> None:
    config = _wandb_config()
    try:
        violations = config.schema_violations_from_proposed_config(dict(content))
    except (ValueError, TypeError) as error:
        violations = [str(error)]
    if violations:
        reason = " ".join(str(violations[0]).split())
        raise UserError(f"a sweep that W&B accepts in {path}", reason, "Correct this entry: see W&B's sweep schema.")


def _wandb_config() -> Any:
    """Return the module of package `sweeps` with W&B's schema."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pydantic, about this package
            from sweeps import config  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UserError(
            "the package sweeps, W&B's schema of sweeps",
            "none",
            "Install it with: pip install 'acl-lightning[studies]'.",
        ) from error
    return config


def _wandb_schema() -> Mapping[str, Any]:
    return dict(_wandb_config().schema.sweep_config_jsonschema)
