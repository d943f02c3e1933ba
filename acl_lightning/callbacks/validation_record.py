"""Columns of a validation pass, and the exit record made from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits import ExitCosts, ExitRecord
from acl_lightning.training.sample_columns import SAMPLE_DIMENSION, Columns

if TYPE_CHECKING:
    from acl_lightning.training.evaluation_module import EvaluationModule

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
