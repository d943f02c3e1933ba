"""The result of a finished run and its operating points: the one reader of `result.json` and `points.json`."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.files import write_text_atomically
from acl_lightning.legacy import present_point, present_points

#: What one validation measured, with the operating points that it recommends. Written once; studies compare it.
RESULT = "result.json"

#: Operating points that `points` chose afterwards. Kept apart from the result, so that adding one changes neither the
#: record of the measurement nor the groups into which studies sort runs.
POINTS = "points.json"

#: Exit logits of the validation that the result is about, see `exits.ExitRecord`.
LOGITS = "exit_logits.npz"


def read_result(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of `result.json`; its `recommended` also has the operating points of `points.json`.

    Raises:
        UserError: There is no result, a file is damaged, or the run did not finish.
    """
    path = Path(directory).expanduser() / RESULT
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = f"{error.strerror}" if isinstance(error, OSError) else "a damaged file"
        raise UserError(f"the result of a run at {path}", reason, "Finish the run, or name another.") from error
    if not isinstance(result, dict) or result.get("status") != "finished":
        raise UserError(f"a finished run in {path.parent}", "one that failed", "Finish the run, or name another.")
    measured = result.get("recommended") or {}
    if not isinstance(measured, dict) or not all(isinstance(point, dict) for point in measured.values()):
        raise UserError(f"operating points by name as `recommended` in {path}", "a damaged file", "Validate again.")
    added = added_points(path.parent)
    points = present_points({**added, **measured})
    order = [*dict.fromkeys(present_point(name) for name in (*measured, *added))]
    result = {**result, "recommended": {name: points[name] for name in order}}
    if isinstance(result.get("highlighted"), str):
        result["highlighted"] = present_point(result["highlighted"])
    return result


def added_points(directory: Path) -> dict[str, Any]:
    """Return the operating points of `points.json` by name.

    Points that were chosen from other exit logits than the run has now are ignored with a warning: the run was resumed
    since, and their thresholds belong to other weights.

    Raises:
        UserError: The file is damaged.
    """
    path = directory / POINTS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        points, chosen_from = dict(content["points"]), content["exit_logits"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"operating points in {path}", "a damaged file", "Delete it and run `points` again.") from error
    if _logits_hash(directory) not in (chosen_from, None):
        warnings.warn(f"{path} is about an earlier state of this run and is ignored; run `points` again", stacklevel=2)
        return {}
    return points


def add_points(directory: Path, points: Mapping[str, Any]) -> None:
    """Add operating points to `points.json`, atomically. A name that it already has is replaced.

    Args:
        directory: The run.
        points: Name -> entry as under `recommended` in `result.json`.

    Raises:
        UserError: The file is damaged, or the file system refuses the write.
    """
    directory = directory.expanduser()
    content = {"exit_logits": _logits_hash(directory), "points": {**added_points(directory), **points}}
    text = json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text_atomically(directory / POINTS, text + "\n")


def named_point(result: Mapping[str, Any], name: str, remedy: str) -> Mapping[str, Any]:
    """Return the entry of an operating point.

    Args:
        result: What `read_result` returned.
        name: Name of the point.
        remedy: What to do if there is none of that name.

    Raises:
        UserError: There is no point of that name (the names that exist are listed), or an earlier version wrote it,
            without how to build its criterion.
    """
    points = result.get("recommended") or {}
    name = name if name in points else present_point(name)
    if name not in points:
        raise UserError(f"an operating point among: {', '.join(points) or 'none'}", f"{name!r}", remedy)
    point: Mapping[str, Any] = points[name]
    if "exit" not in point:
        raise UserError(f"how {name!r} leaves", "a result of an older version", "Run `validate` again.")
    if not isinstance(point.get("threshold"), int | float):
        raise UserError(f"the threshold of {name!r}", f"{point.get('threshold')!r}", "Run `validate` again.")
    return point


def finite(value: Any) -> Any:
    """Return `value` with None for every number that JSON cannot express, in dictionaries and lists too."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _logits_hash(directory: Path) -> str | None:
    """Return the SHA-256 of a run's stored exit logits; None where it has none."""
    try:
        return hashlib.sha256((directory / LOGITS).read_bytes()).hexdigest()
    except OSError:
        return None
