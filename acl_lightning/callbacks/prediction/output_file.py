"""JSON Lines or CSV file of `predict`, written row by row so that a killed prediction continues where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from acl_lightning.callbacks.prediction.csv_output import write_csv
from acl_lightning.errors import UserError
from acl_lightning.part_files import lock, open_part, refused

#: Option that names the file.
SETTING = "--exit.output"


class PredictionFile:
    """A JSON Lines or CSV file that gets its name when it is complete.

    Before that the rows are in a part file in the same directory, `.NAME-IDENTITY.part`, flushed after every batch. A
    later prediction with the same identity keeps the complete rows of the part file. Part files are JSON Lines; the
    file itself is CSV if its suffix is `.csv`.

    Attributes:
        num_rows: Number of rows written so far; also the index of the next row.
        num_undefined: Number of rows so far without a label.
    """

    def __init__(self, path: Path, identity: str) -> None:
        """Open the part file.

        Args:
            path: File to write.
            identity: Text that is the same for two predictions only if they write the same rows.

        Raises:
            UserError: Another process is writing the part file, or the file system refuses.
        """
        self.path = path
        self.part = path.with_name(f".{path.name}-{identity}.part")
        self.num_rows = self.num_undefined = 0
        self._file = open_part(path, self.part, SETTING)

    def resume(self, multiple: int, at_most: int | None = None) -> int:
        """Keep the complete rows of the part file, and cut off what follows them.

        Args:
            multiple: Keep a multiple of this number of rows, so that the next batch is the same as without a stop.
            at_most: Keep no more rows than this.

        Returns:
            Number of rows kept.
        """
        complete, undefined, end = 0, 0, 0  # up to the last multiple
        num_rows, num_undefined, position = 0, 0, 0
        self._file.seek(0)
        for line in self._file:
            row = _row(line)
            if row is None or row.get("index") != num_rows:
                break
            num_rows, position = num_rows + 1, position + len(line)
            num_undefined += row.get("label") is None
            if num_rows % multiple == 0 and (at_most is None or num_rows <= at_most):
                complete, undefined, end = num_rows, num_undefined, position
        self._file.truncate(end)
        self._file.seek(0, os.SEEK_END)
        self.num_rows, self.num_undefined = complete, undefined
        return complete

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows, which are sorted by `index`; rows that were written before are left out.

        Raises:
            UserError: A row is missing, or the file system refuses; what was written before is kept.
        """
        try:
            for row in rows:
                if row["index"] < self.num_rows:
                    continue  # several processes: the last batch is filled up with rows from the start
                if row["index"] > self.num_rows:
                    raise UserError(
                        f"row {self.num_rows} next",
                        f"row {row['index']}",
                        "Predict with a loader that keeps the order.",
                    )
                text = json.dumps(row, ensure_ascii=False, allow_nan=False)
                self._file.write(text.encode("utf-8") + b"\n")
                self.num_rows += 1
                self.num_undefined += row["label"] is None
            self._file.flush()
        except OSError as error:
            raise refused(self.path, error, SETTING) from error

    def finish(self) -> None:
        """Rename the complete file, and remove part files of predictions with other settings.

        Raises:
            UserError: The file system refuses; the part file is kept.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            if self.path.suffix.lower() == ".csv":
                write_csv(self.part, self.path)
                self.part.unlink()
            else:
                self.part.replace(self.path)
            self._file.close()
            for part in self.path.parent.glob(f".{self.path.name}-*.part"):
                with part.open("rb") as other:
                    if lock(other):
                        part.unlink()
        except OSError as error:
            raise refused(self.path, error, SETTING) from error

    def close(self) -> None:
        """Close the part file, which a later prediction continues. Closing it twice has no effect."""
        self._file.close()


def weights_hash(module: nn.Module) -> str:
    """Return a hash of the names and values of a module's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _row(line: bytes) -> dict[str, Any] | None:
    """Return the row in a line; None where the line is incomplete or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
