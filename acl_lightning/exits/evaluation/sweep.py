"""Sweep of all criteria and thresholds over exit logits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion, exit_index
from acl_lightning.exits.criteria.static import Static
from acl_lightning.exits.evaluation.operating_point import OperatingPoint
from acl_lightning.exits.evaluation.record import ExitCosts
from acl_lightning.outputs import predictions

#: (predictions (n,), labels (n,)) -> value of a metric.
Quality = Callable[[Tensor, Tensor], float]


def sweep(
    logits_EBC: Tensor,
    labels_B: Tensor,
    criteria: Sequence[Criterion],
    *,
    quality: Quality,
    selection_B: Tensor,
    costs: ExitCosts,
    gates_EB: Tensor | None = None,
    cosines_EBC: Tensor | None = None,
    thresholds: Mapping[str, Sequence[float]] | None = None,
) -> list[OperatingPoint]:
    """Measure every criterion, with each of its variants, at all thresholds, and every static exit.

    Each variant is compared with all thresholds at once; `quality` is evaluated once for all points with the same
    predictions.

    Args:
        logits_EBC: Exit logits of all validation samples (B is their number), on any device.
        labels_B: Classes, or values for a regression.
        criteria: Criteria with different names. `Static` is always swept and need not be among them.
        quality: The task's primary metric, a fraction, larger is better.
        selection_B: Bool; True for the selection split, which selects thresholds, False for the report split.
        costs: Costs of leaving at each exit.
        gates_EB: Logits of the learnt gate; None for a model without a gate.
        cosines_EBC: Cosines of the samples with the label embeddings; None where no criterion reads them.
        thresholds: Grids to use instead of the criteria's own grids, by the name of the criterion.

    Returns:
        Points by criterion, then variant, thresholds ascending. The static exits are first, so `points[E - 1]` is full
        depth.

    Raises:
        UserError: A split is empty, a criterion cannot read the logits, or a grid does not fit.
    """
    assert logits_EBC.shape[:2] == (len(costs.layers_E), len(labels_B))
    check_grids(criteria, thresholds or {})
    alone_EB = predictions(logits_EBC)
    selection = _Split("selection", selection_B.bool(), alone_EB[-1], labels_B, quality)
    report = _Split("report", ~selection_B.bool(), alone_EB[-1], labels_B, quality)
    points: list[OperatingPoint] = []
    for criterion in (Static(), *(criterion for criterion in criteria if criterion.name != Static.name)):
        grid = _grid(criterion, len(logits_EBC), thresholds or {})
        for variant in criterion.variants(logits_EBC.shape[-1]):
            certainty_EB = variant.certainty(variant.inputs(logits_EBC, gates_EB, cosines_EBC))
            exits_TB = exit_index(certainty_EB, torch.tensor(grid, dtype=torch.float64))
            answers_EBC = variant.answers(logits_EBC)
            answers_EB = alone_EB if answers_EBC is logits_EBC else predictions(answers_EBC)
            answers_TB = answers_EB.gather(0, exits_TB)
            selected, reported = (split.measure(exits_TB, answers_TB, len(logits_EBC)) for split in (selection, report))
            points += [_point(variant, *row, costs) for row in zip(grid, selected, reported, strict=True)]
    return points


def check_grids(criteria: Iterable[Criterion], thresholds: Mapping[str, Sequence[float]]) -> None:
    """Raise `UserError` unless every grid belongs to one of the criteria, is not empty, ascends and is in range."""
    by_name = {criterion.name: criterion for criterion in criteria if criterion.name != Static.name}
    for name, grid in thresholds.items():
        if name not in by_name:
            raise UserError(
                f"thresholds of criteria that are swept: {', '.join(by_name) or 'none'}", f"{name!r}", "Remove it."
            )
        by_name[name].check_grid(grid)


def _grid(criterion: Criterion, num_exits: int, thresholds: Mapping[str, Sequence[float]]) -> list[float]:
    if criterion.name not in thresholds:
        return criterion.thresholds(num_exits)
    grid = list(thresholds[criterion.name])
    criterion.check_reachable(grid[-1], num_exits)
    return grid


class _Measured(NamedTuple):
    """Measurement of a split at a threshold: quality, shares of the exits, and changes against full depth."""

    quality: float
    shares_E: tuple[float, ...]
    lost: int | None
    gained: int | None
    samples: int


class _Split:
    """The samples of one split. Qualities are cached by the predictions, since criteria often agree."""

    def __init__(self, name: str, members_B: Tensor, full_B: Tensor, labels_B: Tensor, quality: Quality) -> None:
        if not members_B.any():
            raise UserError(
                f"samples in the {name} split of the validation data",
                f"none among {len(labels_B)}",
                "Validate on more samples (limit_val_batches, batch size), so that both splits occur.",
            )
        self.members_B, self.quality = members_B, quality
        self.labels_B = labels_B[members_B]
        self.full_right_B = full_B[members_B] == self.labels_B
        self.known: dict[bytes, float] = {}

    def measure(self, exits_TB: Tensor, answers_TB: Tensor, num_exits: int) -> list[_Measured]:
        """Return the measurement of each row of exit indices and answers of all samples."""
        exits_TB, answers_TB = exits_TB[:, self.members_B], answers_TB[:, self.members_B]
        batch = len(self.labels_B)
        shares_TE = torch.stack([(exits_TB == exit_).sum(dim=1) for exit_ in range(num_exits)], dim=1).double() / batch
        qualities = [self._quality(answers_B) for answers_B in answers_TB]
        changes: list[tuple[int | None, int | None]] = [(None, None)] * len(qualities)
        if not answers_TB.is_floating_point():
            right_TB = answers_TB == self.labels_B
            lost_T, gained_T = (self.full_right_B & ~right_TB).sum(dim=1), (~self.full_right_B & right_TB).sum(dim=1)
            changes = list(zip(lost_T.tolist(), gained_T.tolist(), strict=True))
        rows = zip(qualities, shares_TE.tolist(), changes, strict=True)
        return [_Measured(value, tuple(shares_E), *change, batch) for value, shares_E, change in rows]

    def _quality(self, answers_B: Tensor) -> float:
        key = hashlib.blake2b(answers_B.numpy(force=True).tobytes()).digest()
        if key not in self.known:
            self.known[key] = self.quality(answers_B, self.labels_B)
        return self.known[key]


def _point(
    criterion: Criterion, threshold: float, selected: _Measured, reported: _Measured, costs: ExitCosts
) -> OperatingPoint:
    shares_selection_E, shares_E = selected.shares_E, reported.shares_E
    mean_exit_layer = costs.mean_layer(shares_E)
    static = criterion.name == Static.name
    return OperatingPoint(
        criterion=criterion,
        threshold=threshold,
        quality=reported.quality,
        mean_exit_layer=mean_exit_layer,
        layer_speedup=costs.depth / mean_exit_layer,
        layer_saving=1.0 - mean_exit_layer / costs.depth,
        flops_speedup=costs.full_flops / costs.mean_flops(shares_E, static=static),
        shares_E=shares_E,
        quality_selection=selected.quality,
        layer_speedup_selection=costs.depth / costs.mean_layer(shares_selection_E),
        flops_speedup_selection=costs.full_flops / costs.mean_flops(shares_selection_E, static=static),
        shares_selection_E=shares_selection_E,
        lost_selection=selected.lost,
        gained_selection=selected.gained,
        num_selection=selected.samples,
    )
