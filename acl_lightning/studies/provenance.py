"""Where a collection comes from."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from typing import Any

import acl_lightning
from acl_lightning.studies.run_record import Run, UnfinishedRun

#: What decides about a run's numbers.
PACKAGES = ("torch", "lightning", "transformers")


def provenance(command: Sequence[str], runs: Sequence[Run], unfinished: Sequence[UnfinishedRun]) -> dict[str, Any]:
    """Everything needed to judge and repeat a collection, in plain JSON types.

    Keys: `command` (as typed, so call it with relative paths), `collected` (ISO 8601, UTC), `versions` (of the
    collection), `runs` (`first_started`, `last_finished`, and value -> number of runs for `commits`, `devices`,
    `precisions` and the versions of `PACKAGES`; `runs.csv` says which), `uncommitted_changes` (names of runs), and
    `unfinished` (name -> status and reason).
    """
    results = [run.result for run in runs]
    return {
        "command": list(command),
        "collected": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "acl_lightning": acl_lightning.__version__,
            "matplotlib": metadata.version("matplotlib"),
        },
        "runs": {
            "first_started": min((str(result["started"]) for result in results if result.get("started")), default=None),
            "last_finished": max(
                (str(result["finished"]) for result in results if result.get("finished")), default=None
            ),
            "commits": _count(runs, lambda result: (result.get("git") or {}).get("commit")),
            "devices": _count(runs, lambda result: result.get("device")),
            "precisions": _count(runs, lambda result: result.get("precision")),
            **{package: _count(runs, partial(_version, package)) for package in PACKAGES},
        },
        "uncommitted_changes": [run.name for run in runs if (run.result.get("git") or {}).get("dirty")],
        "unfinished": {one.name: f"{one.status}: {one.reason}" for one in unfinished},
    }


def _count(runs: Sequence[Run], value: Callable[[Mapping[str, Any]], object]) -> dict[str, int]:
    return dict(Counter(str(value(run.result)) for run in runs))


def _version(package: str, result: Mapping[str, Any]) -> object:
    return (result.get("versions") or {}).get(package)
