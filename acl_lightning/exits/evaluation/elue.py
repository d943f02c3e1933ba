"""How much better a curve is than a reference curve at the same FLOPs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.bootstrap import interpolated


class Measured(Protocol):
    """A point of a curve: anything with a quality and a FLOPs speed-up."""

    @property
    def quality(self) -> float:
        """A fraction."""

    @property
    def flops_speedup(self) -> float:
        """FLOPs of full depth / mean FLOPs."""


def elue_score(points: Sequence[Measured], reference: Sequence[Measured]) -> float:
    """Mean over the points of quality minus the reference's quality at the same FLOPs, in hundredths.

    After the ELUE benchmark (Liu et al., 2022), which fixes the reference; ours is given. The reference's points are
    joined by straight lines over the FLOPs and held flat beyond its ends: a point faster than all of them is compared
    with the fastest, which does not flatter it (our reading). Points of the same quality and FLOPs count once, since
    a fine grid of thresholds would weigh its repetitions.

    Raises:
        UserError: no points, or no reference.
    """
    if not points or not reference:
        raise UserError("points and a reference curve to score", "none", "Give a run, and a baseline to compare with.")
    distinct = torch.tensor(sorted({(one.flops_speedup, one.quality) for one in points}), dtype=torch.float64)
    costs = torch.tensor([1 / one.flops_speedup for one in reference], dtype=torch.float64)
    qualities = torch.tensor([one.quality for one in reference], dtype=torch.float64)
    return 100 * (distinct[:, 1] - interpolated(costs, qualities, 1 / distinct[:, 0])).mean().item()
