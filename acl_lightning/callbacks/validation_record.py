"""What one validation pass said about every sample: collected batch by batch, the same on any number of processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from acl_lightning.errors import UserError

#: Column name -> values, the samples along the first dimension. `logits_BEC` holds all exits of a sample, and where the
#: model has a learnt gate `gates_BE` its logits.
Columns = dict[str, Tensor]

REQUIRED = ("labels", "index", "selection", "num_tokens")
OPTIONAL = ("difficulty",)


def columns_of(outputs: Mapping[str, Tensor] | Tensor | None) -> Columns:
    """The columns of one batch, still on its device, so that collecting costs no synchronisation.

    Args:
        outputs: what `validation_step` returned: `logits_EBC`, `labels`, `index` (row number in the split), `selection`
            (bool, the half that chooses thresholds), `num_tokens` and maybe `difficulty`, all with B entries.

    Raises:
        UserError: one of them is missing.
    """
    found = outputs if isinstance(outputs, Mapping) else {}
    missing = [name for name in ("logits_EBC", *REQUIRED) if name not in found]
    if missing:
        raise UserError(
            "validation data with labels and halves for the exit sweep",
            f"no {', '.join(missing)}",
            "Validate on a labelled split of the task, or remove the callback ExitSweep.",
        )
    columns = {name: found[name].detach() for name in (*REQUIRED, *OPTIONAL) if name in found}
    for name in ("logits_EBC", "gates_EB"):
        if name in found:
            columns[name.replace("EB", "BE")] = found[name].detach().float().transpose(0, 1)
    return columns


def joined(parts: Sequence[Columns]) -> Columns:
    """All parts one after the other, on the CPU."""
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}


def distinct(columns: Columns) -> Columns:
    """Every sample once, in the order of the split.

    A distributed sampler repeats samples so that every process has as many; counted twice they would weigh double.
    """
    first_at: dict[int, int] = {}
    for position, index in enumerate(columns["index"].tolist()):
        first_at.setdefault(index, position)
    order = torch.tensor([first_at[index] for index in sorted(first_at)], dtype=torch.long)
    return {name: values[order] for name, values in columns.items()}


def gathered(columns: Columns, world_size: int) -> Columns:
    """The distinct samples of all processes; every process gets all of them."""
    if world_size > 1:
        parts: list[Columns] = [{} for _ in range(world_size)]
        torch.distributed.all_gather_object(parts, columns)
        columns = joined([part for part in parts if part])
    return distinct(columns)
