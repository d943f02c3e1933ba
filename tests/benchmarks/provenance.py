"""Provenance of the numbers that a benchmark writes."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata

from acl_lightning.runs.provenance import git_state, versions


def provenance(command: str, threads: int) -> dict[str, object]:
    """Command, date, device, threads, versions and commit, in plain JSON types."""
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": _processor(),
        "threads": threads,
        "versions": versions() | {"onnxruntime": metadata.version("onnxruntime")},
        "git": git_state(),
    }


def _processor() -> str:
    """Name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
