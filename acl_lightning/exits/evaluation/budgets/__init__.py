"""Budgets: constraints that select an operating point of a sweep. Importing this package does not import torch."""

from acl_lightning.exits.evaluation.budgets.constraints import (
    Budget,
    MaxDrop,
    MaxLatency,
    MinMeasuredSpeedup,
    MinSpeedup,
)
from acl_lightning.exits.evaluation.budgets.latency_table import LatencyTable
from acl_lightning.exits.evaluation.budgets.risk_control import certified, drop_p_value

__all__ = [
    "Budget",
    "LatencyTable",
    "MaxDrop",
    "MaxLatency",
    "MinMeasuredSpeedup",
    "MinSpeedup",
    "certified",
    "drop_p_value",
]
