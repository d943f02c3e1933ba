"""Arrays, table and figure of the representation diagnostics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from acl_lightning.figures import EmbeddingMap, embedding_map_figure
from acl_lightning.representation import MEASURES, unit_vectors
from acl_lightning.training.sample_columns import Columns

#: Exit layer -> measure -> value.
Measures = Mapping[int, Mapping[str, float]]

#: Name of the only class of a regression in a map.
ONE_CLASS = "all samples"


def drawn(rows: int, at_most: int, seed: int) -> Tensor:
    """Return a mask (rows,) of at most `at_most` rows, drawn at random with a fixed seed."""
    mask = torch.zeros(rows, dtype=torch.bool)
    mask[torch.randperm(rows, generator=torch.Generator().manual_seed(seed))[:at_most]] = True
    return mask


def embedding_arrays(
    columns: Columns,
    layers: Sequence[int],
    exit_layers: Sequence[int],
    label_embeddings_ECD: Tensor,
    label_names: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """Return the content of `embeddings.npz` without the task: unit vectors at the K exits `layers`, in float16.

    Args:
        columns: Columns `embeddings_EBD`, `labels` and `index` of the samples.
        layers: Layers of the exits to keep.
        exit_layers: Layer of each exit.
        label_embeddings_ECD: Label embeddings, see `ExitOutputs`.
        label_names: Names of the classes; empty for regression, which has a single class without label embedding.
    """
    exits = [exit_layers.index(layer) for layer in layers]
    label_vectors = unit_vectors(label_embeddings_ECD[exits]).numpy().astype(np.float16)
    labels_n = columns["labels"] if label_names else torch.zeros(len(columns["labels"]), dtype=torch.long)
    return {
        "vectors_KnD": unit_vectors(columns["embeddings_EBD"][exits]).numpy().astype(np.float16),
        "layers_K": np.array(layers),
        "labels_n": labels_n.numpy(),
        "index_n": columns["index"].numpy(),
        "label_vectors_KCD": label_vectors if label_names else label_vectors[:, :0],
        "label_names_C": np.array(label_names or [ONE_CLASS]),
    }


def measure_rows(measures: Measures, samples: int) -> tuple[list[str], list[list[Any]]]:
    """Return header and rows of `representation.csv`, with None for measures that are not defined."""
    rows = [
        [layer, samples, *(values[name] if math.isfinite(values[name]) else None for name in MEASURES)]
        for layer, values in measures.items()
    ]
    return ["exit_layer", "samples", *MEASURES], rows


def embedding_map(
    arrays: Mapping[str, NDArray[Any]], drawn_n: NDArray[np.bool_], measures: Measures, title: str
) -> Figure:
    """Draw the samples `drawn_n` of `embedding_arrays`, a column per exit; their number is appended to the title."""
    exits = zip(arrays["layers_K"].tolist(), arrays["vectors_KnD"], arrays["label_vectors_KCD"], strict=True)
    columns = [
        EmbeddingMap(
            title=f"exit {layer}",
            vectors_nD=vectors_nD[drawn_n].astype(np.float64),
            labels_n=arrays["labels_n"][drawn_n],
            label_vectors_CD=label_vectors_CD.astype(np.float64),
            measures=measures[layer],
        )
        for layer, vectors_nD, label_vectors_CD in exits
    ]
    number = f"{drawn_n.sum()} of {len(drawn_n)} samples"
    return embedding_map_figure(columns, arrays["label_names_C"].tolist(), title=f"{title}, {number}")
