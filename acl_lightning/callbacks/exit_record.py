"""From the columns of a validation pass to the record that is kept in the run directory."""

from __future__ import annotations

from acl_lightning.callbacks.sweep_summary import SweptModule, mean_tokens
from acl_lightning.callbacks.validation_record import Columns
from acl_lightning.exits import ExitCosts, ExitRecord


def costs_of(columns: Columns, module: SweptModule) -> ExitCosts:
    """What leaving at each exit costs, for a sample of the mean number of tokens, rounded."""
    num_tokens = round(mean_tokens(columns))
    return ExitCosts(
        layers_E=tuple(module.exit_layers),
        depth=module.depth,
        flops_E=tuple(module.exit_flops(num_tokens)),
        full_flops=module.full_depth_flops(num_tokens),
        static_flops_E=tuple(module.static_exit_flops(num_tokens)),
    )


def record_of(columns: Columns, module: SweptModule) -> ExitRecord:
    """The record of a validation pass."""
    return ExitRecord(
        logits_EBC=columns["logits_BEC"].transpose(0, 1).contiguous(),
        labels_B=columns["labels"],
        index_B=columns["index"],
        selection_B=columns["selection"].bool(),
        num_tokens_B=columns["num_tokens"],
        costs=costs_of(columns, module),
        gates_EB=columns["gates_BE"].T.contiguous() if "gates_BE" in columns else None,
        difficulty_B=columns.get("difficulty"),
    )
