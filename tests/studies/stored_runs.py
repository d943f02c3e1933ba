"""Fabricated runs with stored logits, so that curves can be computed again from them."""

from __future__ import annotations

from pathlib import Path

import torch
from fabricated_runs import fabricate

from acl_lightning.exits import ExitCosts, ExitRecord
from acl_lightning.exits.evaluation.record import FILE_NAME

DEPTH, SAMPLES = 6, 120


def record(seed: int, layers: tuple[int, ...], classes: int = 2) -> ExitRecord:
    """Exits that are right more often and surer with depth; the labels are the same for every seed."""
    labels_B = torch.arange(SAMPLES) % max(classes, 2)
    generator = torch.Generator().manual_seed(seed)
    quality = torch.tensor([0.3 + 0.25 * layer for layer in layers])
    noise_EBC = torch.randn(len(layers), SAMPLES, classes, generator=generator)
    if classes == 1:
        labels_B = labels_B.float()
        logits_EBC = labels_B[None, :, None] + noise_EBC / quality[:, None, None]
    else:
        logits_EBC = noise_EBC + quality[:, None, None] * torch.nn.functional.one_hot(labels_B, classes)
    return ExitRecord(
        logits_EBC=logits_EBC,
        labels_B=labels_B,
        index_B=torch.arange(SAMPLES),
        selection_B=torch.arange(SAMPLES) % 3 == 0,
        num_tokens_B=torch.full((SAMPLES,), 9),
        costs=ExitCosts(layers, DEPTH, tuple(10.0 * layer + 1 for layer in layers), 10.0 * DEPTH + 1),
    )


def stored_run(directory: Path, seed: int = 0, layers: tuple[int, ...] = (1, 2, 4, 6), classes: int = 2, **settings):
    """A run with its record; one with a single exit is a plain model cut to that layer."""
    changes = {"exit_layers": list(layers), "depth": DEPTH} | settings.pop("changes", {})
    exits = list(layers) if len(layers) == 1 else None
    fabricate(directory, seed, changes=changes, model__encoder__exits=exits, **settings)
    record(seed, layers, classes).save(directory / FILE_NAME)
    return directory
