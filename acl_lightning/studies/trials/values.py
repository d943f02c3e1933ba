"""Types of the values of parameters, and their notation on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import yaml

from acl_lightning.errors import UserError

#: A value that JSON can express.
JsonValue: TypeAlias = bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None

#: Setting, with dots -> value.
Parameters: TypeAlias = Mapping[str, JsonValue]

#: Numbers that YAML 1.1 reads as texts, such as `1e-5`.
_FLOAT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def parse_overrides(texts: Sequence[str]) -> dict[str, list[JsonValue]]:
    """Return the values of options `--set KEY=V1,V2`.

    Args:
        texts: Values of the options. `V1,V2` are the items of a list in YAML: `--set config=[a.yaml,b.yaml],c.yaml`.

    Raises:
        UserError: There is no `=`, the values are not YAML, or a key is set twice.
    """
    overrides: dict[str, list[JsonValue]] = {}
    for text in texts:
        key, separator, values = text.partition("=")
        remedy = "Write for example --set data.task=rte,cola --set seed_everything=0,1."
        if not separator or not key.strip() or not values.strip():
            raise UserError("KEY=VALUE[,VALUE...] for --set", text, remedy)
        if key.strip() in overrides:
            raise UserError("every parameter once in --set", f"{key.strip()} twice", remedy)
        try:
            listed = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError as error:
            raise UserError("values in YAML for --set", text, remedy) from error
        overrides[key.strip()] = [_with_floats(value) for value in listed]
    return overrides


def _with_floats(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and _FLOAT.fullmatch(value):
        return float(value)
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    return [_with_floats(item) for item in value] if isinstance(value, list) else value
