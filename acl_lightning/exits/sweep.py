"""Every criterion at every threshold, from one pass of exit logits over the validation set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.costs import ExitCosts
from acl_lightning.exits.criterion import Criterion
from acl_lightning.exits.operating_point import OperatingPoint
from acl_lightning.exits.static import Static
from acl_lightning.outputs import predictions

#: Predictions (n,) and labels (n,) to the value of a metric.
Quality = Callable[[Tensor, Tensor], float]

#: Largest [T, E, B] comparison made at once (bytes).
CHUNK = 2**26


def exit_index(certainty_EB: Tensor, thresholds_T: Tensor) -> Tensor:
    """Index (T, B) of the first exit with certainty >= threshold, else of the last: the rule of `Criterion`.

    Certainties that are NaN reach no threshold.
    """
    num_exits, batch = certainty_EB.shape
    thresholds_T = thresholds_T.to(certainty_EB)
    chunks = []
    for chunk_T in torch.split(thresholds_T, max(1, CHUNK // max(1, num_exits * batch))):
        leaves_TEB = certainty_EB >= chunk_T[:, None, None]
        leaves_TEB[:, -1] = True
        chunks.append(leaves_TEB.to(torch.uint8).argmax(dim=1))  # the first of the ones
    return torch.cat(chunks)


def sweep(
    logits_EBC: Tensor,
    labels_B: Tensor,
    criteria: Sequence[Criterion],
    *,
    quality: Quality,
    selection_B: Tensor,
    costs: ExitCosts,
    gates_EB: Tensor | None = None,
) -> list[OperatingPoint]:
    """Measure every criterion over its full threshold grid, and every static exit.

    The cost is one comparison per criterion; `quality` is evaluated once for neighbouring thresholds at which every
    sample leaves at the same exit.

    Args:
        logits_EBC: the exit logits of all validation samples (here B is their number), on any device.
        labels_B: classes, or values for a regression.
        criteria: criteria with different names. `Static` is swept in any case and need not be among them.
        quality: the task's primary metric, a fraction, larger is better.
        selection_B: bool, True for the half that chooses thresholds, False for the half that is reported.
        costs: what leaving at each exit costs.
        gates_EB: the learnt gate's logits, where the model has one.

    Returns:
        Points by criterion, thresholds ascending; the static exits first, so `points[E - 1]` is full depth.

    Raises:
        UserError: a half is empty, or a criterion cannot read this task's logits.
    """
    assert logits_EBC.shape[:2] == (len(costs.layers_E), len(labels_B))
    selection_B = selection_B.bool()
    for half, members_B in (("selection", selection_B), ("report", ~selection_B)):
        if not members_B.any():
            raise UserError(
                f"samples in the {half} half of the validation data",
                f"none among {len(labels_B)}",
                "Validate on more samples (limit_val_batches, batch size), so that both halves occur.",
            )
    predictions_EB = predictions(logits_EBC)
    points: list[OperatingPoint] = []
    for criterion in (Static(), *(one for one in criteria if one.name != Static.name)):
        grid = criterion.thresholds(len(logits_EBC))
        certainty_EB = criterion.certainty(criterion.evidence(logits_EBC, gates_EB))
        exits_TB = exit_index(certainty_EB, torch.tensor(grid, dtype=torch.float64))
        selected = _measure(exits_TB[:, selection_B], predictions_EB[:, selection_B], labels_B[selection_B], quality)
        reported = _measure(exits_TB[:, ~selection_B], predictions_EB[:, ~selection_B], labels_B[~selection_B], quality)
        points += [_point(criterion.name, *measured, costs) for measured in zip(grid, selected, reported, strict=True)]
    return points


#: Quality and shares of one half at one threshold.
_Measured = tuple[float, tuple[float, ...]]


def _measure(exits_TB: Tensor, predictions_EB: Tensor, labels_B: Tensor, quality: Quality) -> list[_Measured]:
    num_exits, batch = predictions_EB.shape
    shares_TE = torch.stack([(exits_TB == exit_).sum(dim=1) for exit_ in range(num_exits)], dim=1).double() / batch
    repeats_T = (exits_TB[1:] == exits_TB[:-1]).all(dim=1).tolist()
    measured: list[_Measured] = []
    for exits_B, shares_E, repeats in zip(exits_TB, shares_TE.tolist(), [False, *repeats_T], strict=True):
        value = measured[-1][0] if repeats else quality(predictions_EB.gather(0, exits_B[None])[0], labels_B)
        measured.append((value, tuple(shares_E)))
    return measured


def _point(
    criterion: str, threshold: float, selected: _Measured, reported: _Measured, costs: ExitCosts
) -> OperatingPoint:
    quality_selection, shares_selection_E = selected
    quality, shares_E = reported
    mean_exit_layer = costs.mean_layer(shares_E)
    return OperatingPoint(
        criterion=criterion,
        threshold=threshold,
        quality=quality,
        mean_exit_layer=mean_exit_layer,
        layer_speedup=costs.depth / mean_exit_layer,
        layer_saving=1.0 - mean_exit_layer / costs.depth,
        flops_speedup=costs.full_flops / costs.mean_flops(shares_E),
        shares_E=shares_E,
        quality_selection=quality_selection,
        layer_speedup_selection=costs.depth / costs.mean_layer(shares_selection_E),
    )
