"""What the diagnostics of a representation keep, tabulate and draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from acl_lightning.callbacks.validation_record import Columns
from acl_lightning.figures import EmbeddingMap, embedding_map_figure
from acl_lightning.representation import MEASURES, unit_vectors

#: Exit layer -> measure -> value.
Measures = Mapping[int, Mapping[str, float]]

#: The one class of a regression, in a map.
ONE_CLASS = "all samples"


def drawn(rows: int, at_most: int, seed: int) -> Tensor:
    """Bool (rows,): which are drawn, at random but for the seed; all where they are few enough."""
    chosen = torch.zeros(rows, dtype=torch.bool)
    chosen[torch.randperm(rows, generator=torch.Generator().manual_seed(seed))[:at_most]] = True
    return chosen


def embedding_arrays(
    columns: Columns,
    layers: Sequence[int],
    exit_layers: Sequence[int],
    label_embeddings_ECD: Tensor,
    label_names: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """Content of `embeddings.npz` but for the task: the K exits at `layers`, as unit vectors in half precision.

    Args:
        columns: `embeddings_EBD`, `labels` and `index` of the samples.
        layers: exits to keep.
        exit_layers: layer of each exit.
        label_embeddings_ECD: as in `ExitOutputs`.
        label_names: empty for a regression, which gets one class without a label embedding.
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
    """Header and rows of `representation.csv`; None for what is not defined."""
    rows = [
        [layer, samples, *(values[name] if math.isfinite(values[name]) else None for name in MEASURES)]
        for layer, values in measures.items()
    ]
    return ["exit_layer", "samples", *MEASURES], rows


def embedding_map(
    arrays: Mapping[str, NDArray[Any]], drawn_n: NDArray[np.bool_], measures: Measures, title: str
) -> Figure:
    """The samples `drawn_n` of `embedding_arrays`, a column per kept exit; the title goes on with their number."""
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
