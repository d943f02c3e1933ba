"""Fields of a predicted row: label, confidence and exit layer, in plain JSON types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from acl_lightning.exits import exit_probabilities


def prediction_answers(
    logits_BC: Tensor,
    exit_layer_B: Tensor,
    *,
    label_names: Sequence[str],
    exit_layers: Sequence[int],
    temperatures_E: Sequence[float] | None = None,
    all_classes: bool = False,
) -> list[dict[str, Any]]:
    """Return `label` and `exit_layer` of each sample; for classes also `confidence` and `calibrated`.

    Where a logit is not finite, all but `calibrated` and `exit_layer` are None.

    Args:
        logits_BC: Logits of the exit at which each sample leaves.
        exit_layer_B: Layer of this exit, from 1.
        label_names: Names of the classes; empty for a regression, whose label is the predicted value.
        exit_layers: Layer of each exit.
        temperatures_E: Temperature of each exit; None: the probabilities are not calibrated.
        all_classes: Whether to return `probabilities` by class name, too.
    """
    layers = exit_layer_B.tolist()
    if not label_names:
        values = logits_BC.float().squeeze(-1).tolist()
        return [
            {"label": value if math.isfinite(value) else None, "exit_layer": layer}
            for value, layer in zip(values, layers, strict=True)
        ]
    exit_B = torch.tensor([exit_layers.index(layer) for layer in layers], dtype=torch.long, device=logits_BC.device)
    rows = exit_probabilities(logits_BC, exit_B, temperatures_E).tolist()
    finite = logits_BC.isfinite().all(dim=-1).tolist()
    answers = []
    for row, known, layer in zip(rows, finite, layers, strict=True):
        confidence = max(row) if known else None
        answer: dict[str, Any] = {
            "label": None if confidence is None else label_names[row.index(confidence)],
            "confidence": confidence,
            "calibrated": temperatures_E is not None,
            "exit_layer": layer,
        }
        if all_classes:
            answer["probabilities"] = dict(zip(label_names, row, strict=True)) if known else None
        answers.append(answer)
    return answers


#: Names of the fields of a predicted row, which no column of the input may replace.
FIELDS = ("index", "label", "confidence", "calibrated", "exit_layer", "probabilities")


def predicted_row(index: int, columns: Mapping[str, object], answer: Mapping[str, object]) -> dict[str, object]:
    """Return a row of the output: index, columns of the input, and prediction.

    Args:
        index: Number of the row, from 0.
        columns: Columns of the input. A name among `FIELDS` is written with `input_` before it, as often as needed.
        answer: Fields of the prediction, see `prediction_answers`.
    """
    row: dict[str, object] = {"index": index}
    for name, value in columns.items():
        target = name
        while target in FIELDS or (target != name and target in columns):
            target = f"input_{target}"
        row[target] = value
    return row | dict(answer)
