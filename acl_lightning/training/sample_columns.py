"""Columns of an evaluation, collected batch by batch: the same samples on any number of processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Column name -> values of all samples.
Columns = dict[str, Tensor]

#: Dimension of the samples in the columns that have another dimension first; in all others it is 0.
SAMPLE_DIMENSION = {"logits_EBC": 1, "gates_EB": 1, "embeddings_EBD": 1, "cosines_EBC": 1}


def joined(parts: Sequence[Columns]) -> Columns:
    """Return all parts one after the other, on the CPU; no columns without parts."""
    names = parts[0] if parts else ()
    return {name: torch.cat([part[name] for part in parts], dim=SAMPLE_DIMENSION.get(name, 0)).cpu() for name in names}


def distinct(columns: Columns) -> Columns:
    """Return every sample once, in the order of the data split; all samples if the column `index` is missing.

    A distributed sampler repeats samples so that every process has as many; counted twice they would weigh double.
    """
    if "index" not in columns:
        return columns
    index_n = columns["index"]
    values_u, inverse_n = torch.unique(index_n, return_inverse=True)
    first_u = torch.full_like(values_u, len(index_n), dtype=torch.long)
    first_u.scatter_reduce_(0, inverse_n, torch.arange(len(index_n)), "amin")
    return {name: values.index_select(SAMPLE_DIMENSION.get(name, 0), first_u) for name, values in columns.items()}


def gathered(columns: Columns, world_size: int) -> Columns:
    """Return the distinct samples of all processes, on every process.

    Args:
        columns: Columns of this process, empty if it has no samples.
        world_size: Number of processes; all of them must call this together.
    """
    if world_size > 1:
        parts: list[Columns] = [{} for _ in range(world_size)]
        torch.distributed.all_gather_object(parts, columns)
        columns = joined([part for part in parts if part])
    return distinct(columns)
