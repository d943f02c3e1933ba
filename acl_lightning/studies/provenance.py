"""Provenance of a study: command, versions, and the origin of its runs."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import acl_lightning
from acl_lightning.runs.provenance import PACKAGES
from acl_lightning.studies.reading import Run, UnfinishedRun


def provenance(command: Sequence[str], runs: Sequence[Run], unfinished: Sequence[UnfinishedRun]) -> dict[str, Any]:
    """Return the provenance of a study as plain JSON types.

    Keys: `command`, `collected` (ISO 8601, UTC), `versions` (of the study), `runs` (`first_started`, `last_finished`,
    and value -> number of runs for `commits`, `devices`, `precisions` and the versions of `PACKAGES`),
    `uncommitted_changes` (names of runs), and `unfinished` (name -> status and reason).

    Args:
        command: Command line as typed; relative paths keep it free of the machine's directories.
        runs: Finished runs.
        unfinished: Runs without a result.
    """
    origins = [run.provenance for run in runs]
    return {
        "command": list(command),
        "collected": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "acl_lightning": acl_lightning.__version__,
            "matplotlib": metadata.version("matplotlib"),
        },
        "runs": {
            "first_started": min((origin.started for origin in origins if origin.started), default=None),
            "last_finished": max((origin.finished for origin in origins if origin.finished), default=None),
            "commits": _count((origin.git or {}).get("commit") for origin in origins),
            "devices": _count(origin.device for origin in origins),
            "precisions": _count(origin.precision for origin in origins),
            **{package: _count(origin.versions.get(package) for origin in origins) for package in PACKAGES},
        },
        "uncommitted_changes": [run.name for run in runs if (run.provenance.git or {}).get("dirty")],
        "unfinished": {run.name: ": ".join(filter(None, (run.status, run.reason))) for run in unfinished},
    }


def _count(values: Iterable[object]) -> dict[str, int]:
    return dict(Counter(str(value) for value in values))
