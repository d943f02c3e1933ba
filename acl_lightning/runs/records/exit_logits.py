"""`exit_logits.npz`: the exit logits of a run, as an `ExitRecord`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from acl_lightning.runs.names import EXIT_LOGITS
from acl_lightning.runs.records.reading import reading

if TYPE_CHECKING:
    from acl_lightning.exits import ExitRecord


def read_exit_logits(directory: str | os.PathLike[str]) -> ExitRecord:
    """Return the exit logits of a run. Imports torch.

    Raises:
        UserError: There is no such file, or it is damaged.
    """
    from acl_lightning.exits import ExitRecord

    path = Path(directory).expanduser() / EXIT_LOGITS
    with reading(path, "stored exit logits", "Validate the run again with this version."):
        return ExitRecord.load(path)


def write_exit_logits(directory: Path, record: ExitRecord) -> None:
    """Write `exit_logits.npz`, atomically.

    Raises:
        UserError: The file system refuses; an earlier file is unchanged.
    """
    record.save(directory / EXIT_LOGITS)
