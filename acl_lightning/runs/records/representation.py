"""`representation.csv` and `embeddings.npz`: measures of the embeddings of every exit, and the embeddings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acl_lightning.files import replaced_atomically, write_text_atomically
from acl_lightning.runs.names import EMBEDDINGS, REPRESENTATION
from acl_lightning.runs.records.reading import reading
from acl_lightning.runs.records.tables import csv_rows, csv_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Arrays of `embeddings.npz` and their numbers of dimensions. K: kept exits; n: samples; C: classes; D: width.
ARRAYS = {"vectors_KnD": 3, "layers_K": 1, "labels_n": 1, "label_vectors_KCD": 3, "label_names_C": 1}

REMEDY = "Run `fit` or `validate` with --config conf/callbacks/representation.yaml."


@dataclass(frozen=True)
class RepresentationRecord:
    """Geometry of the exits of a run.

    Attributes:
        samples: Number of samples that were measured.
        measures: Layer of an exit -> name of a measure -> value; None where it is undefined.
        arrays: Arrays of `embeddings.npz`, see `ARRAYS`.
    """

    samples: int
    measures: Mapping[int, Mapping[str, float | None]]
    arrays: Mapping[str, NDArray[np.generic]]

    @property
    def layers(self) -> list[int]:
        """Layers of the exits whose embeddings were kept."""
        return [int(layer) for layer in self.arrays["layers_K"]]

    @property
    def label_names(self) -> list[str]:
        """Names of the classes."""
        return [str(name) for name in self.arrays["label_names_C"]]


def write_representation(
    directory: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write `representation.csv` and `embeddings.npz`, each atomically.

    Args:
        directory: Run directory.
        header: `exit_layer`, `samples`, and the names of the measures.
        rows: A row per exit.
        arrays: Arrays of `ARRAYS`, and further ones.

    Raises:
        UserError: The file system refuses.
    """
    import numpy as np

    write_text_atomically(directory / REPRESENTATION, csv_text(header, rows))
    with replaced_atomically(directory / EMBEDDINGS) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def read_representation(directory: str | os.PathLike[str]) -> RepresentationRecord:
    """Return what `write_representation` wrote.

    Raises:
        MissingFile: One of the files does not exist.
        UserError: One of them cannot be read, or is damaged.
    """
    import numpy as np

    table, embeddings = Path(directory) / REPRESENTATION, Path(directory) / EMBEDDINGS
    samples, measures = 0, {}
    with reading(table, "measures of the embeddings of a run", REMEDY):
        for row in csv_rows(table):
            layer, samples = int(row.pop("exit_layer")), int(row.pop("samples"))
            measures[layer] = {name: float(value) if value else None for name, value in row.items()}
    with reading(embeddings, "embeddings of a run", REMEDY):
        with embeddings.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
        for name, dimensions in ARRAYS.items():
            if arrays[name].ndim != dimensions:
                raise ValueError(f"{name} has {arrays[name].ndim} dimensions")
    return RepresentationRecord(samples, measures, arrays)
