"""Criterion on calibrated logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.ensembled import Ensembled
from acl_lightning.exits.criteria.wrapped import Wrapped


class Calibrated(Wrapped):
    """A criterion that reads `logits / T_e` at exit e instead of the logits (temperature scaling, Guo et al., 2017).

    Predictions do not change, since a temperature does not reorder classes. Neither does patience by agreement, nor a
    learnt gate, which reads no class logits.
    """

    name: ClassVar[str] = "calibrated"
    prefix: ClassVar[str] = name

    def __init__(self, criterion: Criterion, temperatures_E: Sequence[float]) -> None:
        """Wrap a criterion.

        Args:
            criterion: The criterion. The name in tables is `calibrated_` followed by its name.
            temperatures_E: Positive temperature of each exit.

        Raises:
            UserError: There is no temperature, a temperature is not positive and finite, or the criterion is an
                ensemble.
        """
        check_temperatures(temperatures_E)
        if isinstance(criterion, Ensembled):
            raise UserError("a criterion to calibrate", "an ensemble", "Use Ensembled(Calibrated(...), weights_EE).")
        super().__init__(criterion)
        self.temperatures_E = tuple(map(float, temperatures_E))

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """Return the variants of the inner criterion, all calibrated."""
        return [Calibrated(variant, self.temperatures_E) for variant in self.criterion.variants(num_classes)]

    def inputs(self, logits_EBC: Tensor, gates_EB: Tensor | None, cosines_EBC: Tensor | None = None) -> Tensor:
        """Return the inputs of the inner criterion, computed from the divided logits.

        Raises:
            UserError: There are more exits than temperatures.
        """
        exits = len(logits_EBC)
        if exits > len(self.temperatures_E):
            raise UserError(
                f"temperatures of {exits} exits",
                f"{len(self.temperatures_E)}",
                "Use the temperatures that were fitted on this model.",
            )
        temperatures_E = torch.tensor(self.temperatures_E[:exits], dtype=torch.float32, device=logits_EBC.device)
        return self.criterion.inputs(logits_EBC.float() / temperatures_E[:, None, None], gates_EB, cosines_EBC)


def temperatures_of(criterion: Criterion, stored_E: Sequence[float] | None) -> tuple[float, ...] | None:
    """Return the temperatures by which probabilities are calibrated at a criterion.

    Args:
        criterion: A `Calibrated` criterion brings its own temperatures, also in an ensemble of exits.
        stored_E: Temperatures of the run, used with every other criterion that answers by the logits of the exit; those
            of an ensemble are others. None: the run was not calibrated.
    """
    if isinstance(criterion, Calibrated):
        return criterion.temperatures_E
    if isinstance(criterion, Ensembled):
        inner = criterion.criterion
        return inner.temperatures_E if isinstance(inner, Calibrated) else None
    return None if stored_E is None else tuple(stored_E)


def check_temperatures(temperatures_E: Sequence[float]) -> None:
    """Raise `UserError` unless there is at least one temperature and all are positive and finite."""
    if not temperatures_E or not all(0 < temperature < math.inf for temperature in temperatures_E):
        raise UserError(
            "a positive temperature per exit",
            f"{list(temperatures_E)}",
            "Validate the run again with --exit_sweep.calibrate=true.",
        )
