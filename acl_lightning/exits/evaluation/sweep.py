"""Every criterion at every threshold, from one pass of exit logits over the validation set."""

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

#: Predictions (n,) and labels (n,) to the value of a metric.
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
    """Measure every criterion, each of its variants over its full threshold grid, and every static exit.

    The cost is one comparison per variant; `quality` is evaluated once for all points at which all samples get the same
    answers.

    Args:
        logits_EBC: the exit logits of all validation samples (here B is their number), on any device.
        labels_B: classes, or values for a regression.
        criteria: criteria with different names. `Static` is swept in any case and need not be among them.
        quality: the task's primary metric, a fraction, larger is better.
        selection_B: bool, True for the half that chooses thresholds, False for the half that is reported.
        costs: what leaving at each exit costs.
        gates_EB: the learnt gate's logits, where the model has one.
        thresholds: grids to use in place of the criteria's own, by the name of the criterion.

    Returns:
        Points by criterion, then variant, thresholds ascending; the static exits first, so `points[E - 1]` is full
        depth.

    Raises:
        UserError: a half is empty, a criterion cannot read this task's logits, or a grid that does not fit.
    """
    assert logits_EBC.shape[:2] == (len(costs.layers_E), len(labels_B))
    check_grids(criteria, thresholds or {})
    predictions_EB = predictions(logits_EBC)
    selection = _Split("selection", selection_B.bool(), predictions_EB, labels_B, quality)
    report = _Split("report", ~selection_B.bool(), predictions_EB, labels_B, quality)
    points: list[OperatingPoint] = []
    for criterion in (Static(), *(one for one in criteria if one.name != Static.name)):
        grid = _grid(criterion, len(logits_EBC), thresholds or {})
        for variant in criterion.variants(logits_EBC.shape[-1]):
            certainty_EB = variant.certainty(variant.evidence(logits_EBC, gates_EB))
            exits_TB = exit_index(certainty_EB, torch.tensor(grid, dtype=torch.float64))
            splits = selection.measure(exits_TB), report.measure(exits_TB)
            points += [_point(variant, *measured, costs) for measured in zip(grid, *splits, strict=True)]
    return points


def check_grids(criteria: Iterable[Criterion], thresholds: Mapping[str, Sequence[float]]) -> None:
    """Raise `UserError` unless every grid of thresholds is one of a criterion, not empty, ascending and in range."""
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
    given = list(thresholds[criterion.name])
    criterion.check_reachable(given[-1], num_exits)
    return given


#: Quality and shares of one half at one threshold.
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
        """Quality and shares when all samples leave as each row of `exits_TB` says."""
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
