"""`points.json`: operating points that the command `points` added to a run.

They are not written into `result.json`: adding one changes neither the record of the measurement nor the groups into
which studies sort runs.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.report.recommended_point import plain
from acl_lightning.files import write_text_atomically
from acl_lightning.legacy import present_point, present_points
from acl_lightning.runs.names import EXIT_LOGITS, POINTS, SCHEMA_VERSION
from acl_lightning.runs.records.json_values import as_mapping, read_json_object
from acl_lightning.runs.records.reading import MissingFile, reading

REMEDY = "Delete it and run `points` again."


def read_points(directory: Path) -> dict[str, Any]:
    """Return the operating points of `points.json` by name; empty without the file.

    Points that were chosen from other exit logits than the run has now are ignored with a warning: the run was resumed
    since, and their thresholds belong to other weights.

    Raises:
        UserError: The file is damaged.
    """
    path = directory / POINTS
    try:
        with reading(path, "operating points", REMEDY):
            content = read_json_object(path)
            points = as_mapping(content["points"], "points")
            for name, point in points.items():
                as_mapping(point, name)
            logits_hash = content["exit_logits"]
    except MissingFile:
        return {}
    if _logits_hash(directory) not in (logits_hash, None):
        warnings.warn(f"{path} is about an earlier state of this run and is ignored; run `points` again", stacklevel=2)
        return {}
    return points


def add_points(directory: Path, points: Mapping[str, Any]) -> None:
    """Add operating points to `points.json`, atomically. A point of the same name is replaced.

    Args:
        directory: Run directory.
        points: Name -> entry as under `recommended` in `result.json`.

    Raises:
        UserError: The file is damaged, or the file system refuses.
    """
    directory = directory.expanduser()
    content = {
        "schema_version": SCHEMA_VERSION,
        "exit_logits": _logits_hash(directory),
        "points": {**read_points(directory), **points},
    }
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text_atomically(directory / POINTS, text + "\n")


def named_point(points: Mapping[str, Any], name: str, remedy: str) -> tuple[str, Any]:
    """Return the present name and the entry of an operating point.

    Args:
        points: Name -> entry.
        name: Name of the point. Here and in `points`, names of version 0.1 (`loss1`) are accepted.
        remedy: Last sentence of the error.

    Raises:
        UserError: There is no point of that name (the message lists the names that exist).
    """
    if name not in points:
        points, name = present_points(points), present_point(name)
    if name not in points:
        raise UserError(f"an operating point among: {', '.join(points) or 'none'}", f"{name!r}", remedy)
    return name, points[name]


def _logits_hash(directory: Path) -> str | None:
    """Return the SHA-256 of a run's exit logits; None where it has none."""
    try:
        return hashlib.sha256((directory / EXIT_LOGITS).read_bytes()).hexdigest()
    except OSError:
        return None
