"""Output of `score`: a file that gets its name when it is complete, and is continued after a kill."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.part_files import open_part, refused
from acl_lightning.scoring.row_formats import Columns, RowFormat
from acl_lightning.scoring.tally import Tally
from acl_lightning.table_files.base import Cell

#: Option that names the output.
SETTING = "--output"


class ScoreFile:
    """Rows of an output, appended block by block.

    Until the output is complete, the rows are in `.NAME.part` and their number, a hash of the input rows and the counts
    in `.NAME.journal`. The journal is replaced after each block has reached the disk, so that a later command cuts off
    what follows the last complete block and continues there.

    Args:
        path: File to write.
        rows: Format of the file.
        identity: Name -> value of everything beside the input rows that the output depends on.
        tally: Counts of the rows written so far; those of the journal replace them.
        overwrite: Whether to replace an existing output when the new one is complete.

    Attributes:
        resumed: Number of rows that an earlier command wrote.

    Raises:
        UserError: The output exists, another process is writing it, it was begun with another identity, or the file
            system refuses.
    """

    def __init__(
        self, path: Path, rows: RowFormat, identity: Mapping[str, str], tally: Tally, *, overwrite: bool = False
    ) -> None:
        check_output(path, overwrite=overwrite)
        self.path, self.tally = path, tally
        self.part = path.with_name(f".{path.name}.part")
        self.journal = path.with_name(f".{path.name}.journal")
        self._rows, self._identity = rows, dict(identity)
        self._read, self._digest = 0, hashlib.sha256()
        self._file = open_part(path, self.part, SETTING)
        try:
            self.resumed, self._expected = self._resume()
        except BaseException:
            self._file.close()
            raise

    def new_rows(self, columns: Columns) -> int:
        """Return how many of the next rows of the input are in the output already; call it for every block.

        Args:
            columns: The next rows.

        Raises:
            UserError: Their content differs from that of the rows in the output.
        """
        written = 0
        for values in zip(*columns.values(), strict=True):
            self._digest.update(_row_bytes(values))
            self._read += 1
            written += self._read <= self.resumed
            if self._read == self.resumed and self._digest.hexdigest() != self._expected:
                raise self._other("the first rows of the input", f"those of the {self.resumed} rows in {self.part}")
        return written

    def append(self, columns: Columns) -> None:
        """Write a block of rows, which are counted in the tally already.

        Raises:
            UserError: The file system refuses. The blocks before are kept.
        """
        content = self._rows.encode(columns)
        try:
            self._file.write(content)
            self._save()
        except OSError as error:
            raise refused(self.path, error, SETTING) from error

    def finish(self) -> None:
        """Give the output its name.

        Raises:
            UserError: The input has fewer rows than the output, or none; or the file system refuses.
        """
        if self._read < self.resumed:
            raise self._other(f"{self.resumed} rows or more in the input", f"{self._read}")
        try:
            if not self._read:
                self._file.close()
                self.part.unlink()
                raise UserError("rows in the input", "none", "Set --input to a file with rows.")
            self._rows.complete(self.part, self.path)
            self._file.close()
            self.journal.unlink(missing_ok=True)
        except OSError as error:
            raise refused(self.path, error, SETTING) from error

    def close(self) -> None:
        """Close the part file, which a later command continues. Closing it twice has no effect."""
        try:
            self._file.close()
        except OSError as error:
            raise refused(self.path, error, SETTING) from error

    def _resume(self) -> tuple[int, str]:
        """Cut off what follows the last complete block; return the number of rows before it, and their hash."""
        state = self._state()
        try:
            size = self.part.stat().st_size
            if state is None or not size:
                self._file.truncate(0)
                self._file.write(self._rows.header())
                return 0, ""
            for name, old in state["identity"].items():
                if old != self._identity.get(name):
                    raise self._other(f"the {name} with which the output was begun ({old})", self._identity.get(name))
            if size < state["bytes"]:
                raise self._other(f"{state['bytes']} bytes in {self.part}", f"{size}")
            self._file.truncate(state["bytes"])
            self._file.seek(0, os.SEEK_END)
            self.tally.restore(state["tally"])
            return int(state["rows"]), str(state["digest"])
        except OSError as error:
            raise refused(self.path, error, SETTING) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise self._other(f"an undamaged file {self.journal}", f"{error!r}") from error

    def _state(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = json.loads(self.journal.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._other(f"an undamaged file {self.journal}", f"{error}") from error
        return state

    def _save(self) -> None:
        """Flush the rows to disk, then replace the journal."""
        self._file.flush()
        os.fsync(self._file.fileno())
        state = {
            "identity": self._identity,
            "rows": self._read,
            "bytes": self._file.tell(),
            "digest": self._digest.hexdigest(),
            "tally": self.tally.to_json(),
        }
        temporary = self.journal.with_name(f"{self.journal.name}.new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.journal)

    def _other(self, expected: str, actual: str | None) -> UserError:
        return UserError(
            expected,
            f"{actual}",
            f"Repeat the command with the same input, package and options; or remove {self.part} to begin anew, or set "
            f"{SETTING} to another file.",
        )


def check_output(path: Path, *, overwrite: bool, setting: str = SETTING) -> None:
    """Raise `UserError` if a file that is to be written exists.

    Args:
        path: The file.
        overwrite: Whether it may be replaced.
        setting: Option that names it.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        actual = "a directory" if path.is_dir() else "one that exists"
        raise UserError(f"a new file {path}", actual, f"Set {setting} to another file, or add --overwrite.")


def _row_bytes(values: Sequence[Cell]) -> bytes:
    return json.dumps(values, default=str).encode() + b"\n"
