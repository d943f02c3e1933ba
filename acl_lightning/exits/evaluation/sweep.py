"""Sweep of all criteria and thresholds over exit logits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

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
        thresholds: Grids to use instead of the criteria's own grids, by the name of the criterion.

    Returns:
        Points by criterion, then variant, thresholds ascending. The static exits are first, so `points[E - 1]` is full
        depth.

    Raises:
        UserError: A split is empty, a criterion cannot read the logits, or a grid does not fit.
    """
    assert logits_EBC.shape[:2] == (len(costs.layers_E), len(labels_B))
    check_grids(criteria, thresholds or {})
    predictions_EB = predictions(logits_EBC)
    selection = _Split("selection", selection_B.bool(), predictions_EB, labels_B, quality)
    report = _Split("report", ~selection_B.bool(), predictions_EB, labels_B, quality)
    points: list[OperatingPoint] = []
    for criterion in (Static(), *(criterion for criterion in criteria if criterion.name != Static.name)):
        grid = _grid(criterion, len(logits_EBC), thresholds or {})
        for variant in criterion.variants(logits_EBC.shape[-1]):
            certainty_EB = variant.certainty(variant.inputs(logits_EBC, gates_EB))
            exits_TB = exit_index(certainty_EB, torch.tensor(grid, dtype=torch.float64))
            splits = selection.measure(exits_TB), report.measure(exits_TB)
            points += [_point(variant, *measured, costs) for measured in zip(grid, *splits, strict=True)]
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


#: Quality and shares of a split at a threshold.
_Measured = tuple[float, tuple[float, ...]]


class _Split:
    """The samples of one split. Qualities are cached by the predictions, since criteria often agree."""

    def __init__(
        self, name: str, members_B: Tensor, predictions_EB: Tensor, labels_B: Tensor, quality: Quality
    ) -> None:
        if not members_B.any():
            raise UserError(
                f"samples in the {name} split of the validation data",
                f"none among {len(labels_B)}",
                "Validate on more samples (limit_val_batches, batch size), so that both splits occur.",
            )
        self.members_B, self.quality = members_B, quality
        self.predictions_EB, self.labels_B = predictions_EB[:, members_B], labels_B[members_B]
        self.known: dict[bytes, float] = {}

    def measure(self, exits_TB: Tensor) -> list[_Measured]:
        """Return quality and shares for each row of exit indices."""
        exits_TB = exits_TB[:, self.members_B]
        num_exits, batch = self.predictions_EB.shape
        shares_TE = torch.stack([(exits_TB == exit_).sum(dim=1) for exit_ in range(num_exits)], dim=1).double() / batch
        answers_TB = self.predictions_EB.gather(0, exits_TB)
        qualities = (self._quality(answers_B) for answers_B in answers_TB)
        return [(value, tuple(shares_E)) for value, shares_E in zip(qualities, shares_TE.tolist(), strict=True)]

    def _quality(self, answers_B: Tensor) -> float:
        key = hashlib.blake2b(answers_B.numpy(force=True).tobytes()).digest()
        if key not in self.known:
            self.known[key] = self.quality(answers_B, self.labels_B)
        return self.known[key]


def _point(
    criterion: Criterion, threshold: float, selected: _Measured, reported: _Measured, costs: ExitCosts
) -> OperatingPoint:
    quality_selection, shares_selection_E = selected
    quality, shares_E = reported
    mean_exit_layer = costs.mean_layer(shares_E)
    static = criterion.name == Static.name
    return OperatingPoint(
        criterion=criterion,
        threshold=threshold,
        quality=quality,
        mean_exit_layer=mean_exit_layer,
        layer_speedup=costs.depth / mean_exit_layer,
        layer_saving=1.0 - mean_exit_layer / costs.depth,
        flops_speedup=costs.full_flops / costs.mean_flops(shares_E, static=static),
        shares_E=shares_E,
        quality_selection=quality_selection,
        layer_speedup_selection=costs.depth / costs.mean_layer(shares_selection_E),
        flops_speedup_selection=costs.full_flops / costs.mean_flops(shares_selection_E, static=static),
        shares_selection_E=shares_selection_E,
    )
