"""Columns of a validation pass, collected batch by batch: the same samples on any number of processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits import ExitCosts, ExitRecord

if TYPE_CHECKING:
    from acl_lightning.training.evaluation_module import EvaluationModule

#: Column name -> values of all samples.
Columns = dict[str, Tensor]

#: Dimension of the samples in the columns that have another dimension first; in all others it is 0.
SAMPLE_DIMENSION = {"logits_EBC": 1, "gates_EB": 1, "embeddings_EBD": 1, "cosines_EBC": 1}

REQUIRED = ("logits_EBC", "labels", "index", "selection", "num_tokens")
OPTIONAL = ("gates_EB", "difficulty")


def columns_of(outputs: Mapping[str, Tensor] | Tensor | None, cosines_of: EvaluationModule | None = None) -> Columns:
    """Return the columns of one batch, still on its device, so that collecting costs no synchronisation.

    Args:
        outputs: Return value of `validation_step`: `logits_EBC`, `labels`, `index` (row number in the data split),
            `selection` (bool, the selection split), `num_tokens`, and where they are known `gates_EB` and `difficulty`;
            `embeddings_EBD` for the cosines.
        cosines_of: Module whose label embeddings the samples are compared with (`cosines_EBC`). None: no cosines, which
            would take as much memory as the logits.

    Raises:
        UserError: One of the required columns is missing.
    """
    batch = outputs if isinstance(outputs, Mapping) else {}
    missing = [name for name in REQUIRED if name not in batch]
    if missing:
        raise UserError(
            "validation data with labels and a selection split for the exit sweep",
            f"no {', '.join(missing)}",
            "Validate on a labelled split of the task, or remove the callback ExitSweep.",
        )
    columns = {name: batch[name].detach() for name in (*REQUIRED, *OPTIONAL) if name in batch}
    if cosines_of is not None:
        columns["cosines_EBC"] = cosines_of.cosines(batch["embeddings_EBD"].detach())
    return {name: values.float() if name in SAMPLE_DIMENSION else values for name, values in columns.items()}


def joined(parts: Sequence[Columns]) -> Columns:
    """Return all parts one after the other, on the CPU."""
    return {
        name: torch.cat([part[name] for part in parts], dim=SAMPLE_DIMENSION.get(name, 0)).cpu() for name in parts[0]
    }


def distinct(columns: Columns) -> Columns:
    """Return every sample once, in the order of the data split.

    A distributed sampler repeats samples so that every process has as many; counted twice they would weigh double.
    """
    first_at: dict[int, int] = {}
    for position, index in enumerate(columns["index"].tolist()):
        first_at.setdefault(index, position)
    order = torch.tensor([first_at[index] for index in sorted(first_at)], dtype=torch.long)
    return {name: values.index_select(SAMPLE_DIMENSION.get(name, 0), order) for name, values in columns.items()}


def gathered(columns: Columns, world_size: int) -> Columns:
    """Return the distinct samples of all processes, on every process."""
    if world_size > 1:
        parts: list[Columns] = [{} for _ in range(world_size)]
        torch.distributed.all_gather_object(parts, columns)
        columns = joined([part for part in parts if part])
    return distinct(columns)


def record_of(columns: Columns, module: EvaluationModule, selection_from: str = "validation") -> ExitRecord:
    """Return the exit record of a validation pass; FLOPs are those of a sample of the mean number of tokens, rounded.

    Args:
        columns: Columns of the first validation set.
        module: The module that was validated.
        selection_from: Split that the selection rows are taken from, `validation` or `train`.
    """
    num_tokens = round(columns["num_tokens"].double().mean().item())
    costs = ExitCosts(
        layers_E=tuple(module.exit_layers),
        depth=module.depth,
        flops_E=tuple(module.exit_flops(num_tokens)),
        full_flops=module.full_depth_flops(num_tokens),
        static_flops_E=tuple(module.static_exit_flops(num_tokens)),
    )
    return ExitRecord(
        logits_EBC=columns["logits_EBC"],
        labels_B=columns["labels"],
        index_B=columns["index"],
        selection_B=columns["selection"].bool(),
        num_tokens_B=columns["num_tokens"],
        costs=costs,
        gates_EB=columns.get("gates_EB"),
        difficulty_B=columns.get("difficulty"),
        selection_from=selection_from,
        cosines_EBC=columns.get("cosines_EBC"),
    )
