"""`manifest.json` of an adaptive ONNX package: its content, and the check of a package's files against it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.serving.manifest_entries import ENTRIES, POINT_ENTRIES, REMEDY, check_entries

#: Names of files in a package.
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "weights.bin"

#: Name of the operating point at which every sample passes all layers.
FULL_DEPTH = "full_depth"

#: Version of the package format. Readers refuse a larger one.
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ServedPoint:
    """Operating point of a package.

    Attributes:
        name: Name, such as `drop1`.
        criterion: Description of the exit criterion, `{"name": ..., "settings": {...}}`.
        threshold: A sample leaves at the first exit whose certainty is at least this value.
        temperatures: Temperature of each exit, by which logits are divided before the softmax; None: not calibrated.
        measured: Quality and speed on the report split, measured with the graphs of the package.
        validation: Answers on the validation split, for monitoring: `exit_shares` (share of the samples that leave at
            each exit), `confidence_counts` (number of samples by confidence, in bins of equal width from 0 to 1).
    """

    name: str
    criterion: Mapping[str, Any]
    threshold: float
    temperatures: Sequence[float] | None
    measured: Mapping[str, float]
    validation: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """Content of `manifest.json`.

    Attributes:
        directory: Directory of the package.
        content: The whole content, in plain JSON types; docs/serving.md lists the entries.
    """

    directory: Path
    content: Mapping[str, Any]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes; empty for a regression."""
        return tuple(self.content.get("label_names") or ())

    @property
    def exit_layers(self) -> tuple[int, ...]:
        """Layer of each exit, counted from 1."""
        return tuple(self.content["exit_layers"])

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the token inputs of the first segment."""
        return tuple(self.content["inputs"])

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Names of the texts of a sample: one name, or two for pairs."""
        return tuple(self.content["text_columns"])

    @property
    def max_length(self) -> int:
        """Number of tokens that texts are truncated to."""
        return int(self.content["max_length"])

    @property
    def pad_token_id(self) -> int:
        """Token id of padding."""
        return int(self.content["pad_token_id"])

    def segments(self, variant: str) -> tuple[Path, ...]:
        """Files of the segments of a variant (`row_first`, `whole`), in order."""
        return tuple(self.directory / name for name in self.content["segments"][variant])

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the operating points."""
        return tuple(self.content.get("operating_points") or ())

    def point(self, name: str | None) -> ServedPoint:
        """Return an operating point; full depth for None.

        Raises:
            UserError: There is no point of that name (the message lists the names that exist), or it is damaged.
        """
        if name is None:
            description = {"name": "static", "settings": {}}
            content: Mapping[str, Any] = {"criterion": description, "threshold": len(self.exit_layers)}
            content = {**(self.content.get("full_depth") or {}), **content}
            content = {**content, "temperatures": self.content.get("temperatures")}
        else:
            points = self.content.get("operating_points") or {}
            if name not in points:
                raise UserError(
                    f"an operating point among: {', '.join([*points, FULL_DEPTH])}",
                    f"{name!r}",
                    f"Set the operating point to one of them; at {FULL_DEPTH} no sample leaves early.",
                )
            content = points[name]
            place = f"the operating point {name!r} of {self.directory / MANIFEST}"
            check_entries({**content, "exit_layers": self.content["exit_layers"]}, POINT_ENTRIES, place)
        return ServedPoint(
            name or FULL_DEPTH,
            content["criterion"],
            float(content["threshold"]),
            content.get("temperatures"),
            content.get("measured") or {},
            content.get("validation") or {},
        )


def read_manifest(directory: str | os.PathLike[str], *, check_files: bool = True) -> Manifest:
    """Read the manifest of a package and check its files.

    Args:
        directory: Directory that `export --format onnx` wrote.
        check_files: Whether to compare the SHA-256 of every file; otherwise only its size.

    Raises:
        UserError: There is no package in the directory, it was written by a newer version, or a file of it is missing
            or damaged. The message names the file.
    """
    directory = Path(directory).expanduser()
    path = directory / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
    except FileNotFoundError:
        remedy = "Write one with `python -m acl_lightning export RUN --out DIR --format onnx`."
        raise UserError(f"an adaptive ONNX package in {directory}", f"no {MANIFEST}", remedy) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the manifest of a package in {path}", f"a damaged file ({error})", REMEDY) from error
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise UserError(
            f"a package of schema version {SCHEMA_VERSION} or less",
            f"version {version!r} in {path}",
            "Install a newer acl-lightning-runtime (or acl-lightning).",
        )
    check_entries(content, ENTRIES, str(path))
    for name, expected in content["files"].items():
        _check(directory / name, expected, whole=check_files)
    return Manifest(directory, content)


def describe_file(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a file, as an entry of `files`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _check(path: Path, expected: Mapping[str, Any], *, whole: bool) -> None:
    """Raise `UserError` unless a file has the size and, with `whole`, the checksum of its entry."""
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise UserError(f"{expected['bytes']} bytes in {path}", f"{size} bytes", REMEDY)
        if whole and describe_file(path)["sha256"] != expected["sha256"]:
            raise UserError(f"the SHA-256 {expected['sha256'][:12]}... of {path}", "another content", REMEDY)
    except OSError as error:
        raise UserError(f"the file {path} of the package", f"{error.strerror or error}", REMEDY) from error
    except (KeyError, TypeError) as error:
        raise UserError(f"size and checksum of {path.name} in {MANIFEST}", "a damaged entry", REMEDY) from error
