"""`result.json`: the result of a run, and `RunResult`, its content.

The callback `ResultWriter` writes it; `points`, `predict`, `export`, `latency`, `demo` and the studies read it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.report.recommended_point import plain
from acl_lightning.files import write_text_atomically
from acl_lightning.legacy import present_point, present_points
from acl_lightning.runs.names import RESULT, SCHEMA_VERSION
from acl_lightning.runs.provenance import Provenance
from acl_lightning.runs.records.json_values import as_mapping, read_json_object
from acl_lightning.runs.records.points import named_point, read_points
from acl_lightning.runs.records.reading import reading

if TYPE_CHECKING:
    from acl_lightning.exits.evaluation.report import SweepReport

#: State of a run directory: how its last command ended, or why nothing is known about it.
Status = Literal["finished", "failed", "interrupted", "absent", "damaged"]

ENDED: tuple[Status, ...] = ("finished", "failed", "interrupted")

REMEDY = "Finish the run (fit --ckpt_path=auto), or name the directory of a finished run."


@dataclass(frozen=True)
class RunResult:
    """Result of a run, as `result.json` holds it.

    Attributes:
        status: `finished`, `failed` or `interrupted`.
        error: First line of the error that ended the run; None for a finished run.
        task: Name of the task.
        metrics: Last value of every logged metric; None where it is not finite.
        report: Content of the exit sweep (`per_exit`, `full_depth`, `recommended`, ...) in plain JSON types; empty
            without an exit sweep.
        data: How the rows were selected and changed: selection protocol, seed, numbers of rows, label noise, text
            noise. Empty in results of earlier versions.
        checkpoint: Path of the checkpoint that was validated; None for the weights in memory.
        provenance: Configuration, versions, machine and times.
        schema_version: Version of the file format; 0 for files of version 0.1.
    """

    status: str
    error: str | None = None
    task: str | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    provenance: Provenance = field(default_factory=Provenance)
    schema_version: int = SCHEMA_VERSION

    @property
    def is_finished(self) -> bool:
        """Whether the run finished."""
        return self.status == "finished"

    @property
    def sweep_report(self) -> SweepReport:
        """Report of the exit sweep.

        Raises:
            UserError: The run has no exit sweep, or its report is damaged.
        """
        from acl_lightning.exits.evaluation.report import SweepReport

        return SweepReport.from_json(self.report)

    @property
    def points(self) -> Mapping[str, Mapping[str, Any]]:
        """Operating points by name, in the order of the file."""
        points: Mapping[str, Mapping[str, Any]] = self.report.get("recommended") or {}
        return points

    def operating_point(self, name: str, remedy: str) -> Mapping[str, Any]:
        """Return the entry of an operating point, which has `exit` (the criterion) and `threshold`.

        Args:
            name: Name of the point; a name of version 0.1 (`loss1`) is accepted.
            remedy: Last sentence of the error where there is no point of that name.

        Raises:
            UserError: There is no point of that name (the names that exist are listed), or its entry lacks the
                criterion or the threshold.
        """
        point: Mapping[str, Any]
        name, point = named_point(self.points, name, remedy)
        if "exit" not in point:
            raise UserError(f"the criterion of {name!r}", "a result of an older version", "Run `validate` again.")
        if not isinstance(point.get("threshold"), int | float):
            raise UserError(f"the threshold of {name!r}", f"{point.get('threshold')!r}", "Run `validate` again.")
        return point

    def measured(self, checkpoint: str | os.PathLike[str]) -> bool:
        """Whether the result can be about a checkpoint: the file names are equal, or the result names no file."""
        return not self.checkpoint or Path(self.checkpoint).name == Path(checkpoint).name

    def to_json(self) -> dict[str, Any]:
        """Return the content of `result.json`: plain values; numbers that are not finite become None."""
        content = {
            "schema_version": self.schema_version,
            "status": self.status,
            "error": self.error,
            "task": self.task,
            "metrics": dict(self.metrics),
            **self.report,
            "data": dict(self.data),
            "checkpoint": self.checkpoint,
            **self.provenance.to_json(),
        }
        return plain(content)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RunResult:
        """Return the result with this content of `result.json`, of this version or an earlier one.

        Raises:
            TypeError, ValueError: The content is damaged.
        """
        version = content.get("schema_version", 0)
        if not isinstance(version, int) or version > SCHEMA_VERSION:
            raise ValueError(f"schema_version {version!r} of a newer version of this program")
        if content.get("status") not in ENDED:
            raise ValueError(f"status {content.get('status')!r}")
        known = {item.name for kind in (cls, Provenance) for item in dataclasses.fields(kind)}
        report = {name: value for name, value in content.items() if name not in known}
        points = as_mapping(report.get("recommended") or {}, "recommended")
        for name, point in points.items():
            as_mapping(point, f"recommended.{name}")
        if points:
            report["recommended"] = present_points(points)
        if isinstance(report.get("highlighted"), str):
            report["highlighted"] = present_point(report["highlighted"])
        return cls(
            status=content["status"],
            error=_text(content, "error"),
            task=_text(content, "task"),
            metrics=as_mapping(content.get("metrics") or {}, "metrics"),
            report=report,
            data=as_mapping(content.get("data") or {}, "data"),
            checkpoint=_text(content, "checkpoint"),
            provenance=Provenance.from_json(content),
            schema_version=version,
        )


def read_result(directory: str | os.PathLike[str], *, unfinished: bool = False, added_points: bool = True) -> RunResult:
    """Return the result of a run.

    Args:
        directory: Run directory.
        unfinished: Whether to return the result of a run that failed or was interrupted, too.
        added_points: Whether to include the operating points of `points.json`.

    Raises:
        MissingFile: There is no `result.json`.
        UserError: It cannot be read or is damaged, or the run did not finish.
    """
    path = Path(directory).expanduser() / RESULT
    with reading(path, "the result of a run", REMEDY):
        result = RunResult.from_json(read_json_object(path))
    if not result.is_finished:
        if unfinished:
            return result
        raise UserError(f"a finished run in {path.parent}", f"status {result.status!r}", REMEDY)
    added = present_points(read_points(path.parent)) if added_points else {}
    new = {name: point for name, point in added.items() if name not in result.points}
    if not new:
        return result
    return dataclasses.replace(result, report={**result.report, "recommended": {**result.points, **new}})


def write_result(directory: Path, result: RunResult) -> None:
    """Write `result.json`, atomically.

    Raises:
        UserError: The file system refuses; an earlier file is unchanged.
    """
    text = json.dumps(result.to_json(), indent=2, allow_nan=False, ensure_ascii=False)
    write_text_atomically(directory / RESULT, text + "\n")


def run_status(directory: str | os.PathLike[str]) -> Status:
    """Return how the last command of a run ended: `absent` without `result.json`, `damaged` if it cannot be read."""
    path = Path(directory).expanduser() / RESULT
    if not path.exists():
        return "absent"
    try:
        with reading(path, "the result of a run", REMEDY):
            status = read_json_object(path)["status"]
    except UserError:
        return "damaged"
    return status if status in ENDED else "damaged"


def _text(content: Mapping[str, Any], name: str) -> str | None:
    value = content.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is not a text")
    return value
