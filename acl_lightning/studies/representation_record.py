"""What `RepresentationDiagnostics` left in a run's directory."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acl_lightning.errors import UserError
from acl_lightning.studies.run_record import Run

#: What a study asks of `embeddings.npz`.
NEEDED = ("vectors_KnD", "layers_K", "labels_n", "label_vectors_KCD", "label_names_C")


@dataclass(frozen=True)
class Representation:
    """A run and the geometry of its exits.

    Attributes:
        run: the run.
        samples: number of samples that were measured.
        measures: exit layer -> measure -> value, None where undefined.
        arrays: content of `embeddings.npz`.
    """

    run: Run
    samples: int
    measures: Mapping[int, Mapping[str, float | None]]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def layers(self) -> list[int]:
        """Exits whose embeddings were kept."""
        return [int(layer) for layer in self.arrays["layers_K"]]

    @property
    def label_names(self) -> list[str]:
        """Names of the classes."""
        return [str(name) for name in self.arrays["label_names_C"]]

    def quality(self, layer: int) -> float | None:
        """The primary metric on the report half, were everybody to leave at `layer`."""
        per_exit = {row["layer"]: row for row in self.run.result["per_exit"]}
        value: float | None = per_exit[layer][self.run.result["metric"]]
        return value


def read_representation(directory: Path, run: Run) -> Representation:
    """Read `representation.csv` and `embeddings.npz` of a finished run.

    Raises:
        UserError: one of them is absent or damaged.
    """
    try:
        with (directory / "representation.csv").open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        measures = {
            int(row.pop("exit_layer")): {name: float(value) if value else None for name, value in row.items()}
            for row in rows
        }
        samples = {int(row.pop("samples") or 0) for row in measures.values()}
        with (directory / "embeddings.npz").open("rb") as file, np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in NEEDED}
    except FileNotFoundError as error:
        raise UserError(
            f"{Path(error.filename).name} in {directory}",
            "none",
            "Run `fit` or `validate` with --config conf/callbacks/representation.yaml.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"representation.csv and embeddings.npz of a run in {directory}",
            f"a damaged file ({type(error).__name__})",
            "Repeat `validate` with conf/callbacks/representation.yaml.",
        ) from error
    return Representation(run, max(samples, default=0), measures, arrays)
