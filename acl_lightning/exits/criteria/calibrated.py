"""A criterion that sees calibrated logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion


class Calibrated(Criterion):
    """A criterion that sees `logits / T_e` at exit e instead of the logits (temperature scaling, Guo et al., 2017).

    Predictions stay what they are, since a temperature does not reorder classes. Patience by agreement does not notice
    it; a learnt gate, which reads no logits, neither. As causal as the criterion inside.
    """

    name: ClassVar[str] = "calibrated"

    def __init__(self, criterion: Criterion, temperatures_E: Sequence[float]) -> None:
        """Wrap a criterion.

        Args:
            criterion: what to leave by. The name in tables is `calibrated_` and its name.
            temperatures_E: one per exit, positive.

        Raises:
            UserError: a temperature that is not positive and finite, or none.
        """
        check_temperatures(temperatures_E)
        self.criterion = criterion
        self.temperatures_E = tuple(float(one) for one in temperatures_E)
        self.name = f"calibrated_{criterion.name}"  # type: ignore[misc]  # tables tell wrapped criteria apart by it

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the criterion inside; the temperatures are the same at every operating point."""
        return self.criterion.settings

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """Those of the criterion inside, calibrated alike."""
        return [Calibrated(one, self.temperatures_E) for one in self.criterion.variants(num_classes)]

    def evidence(self, logits_EBC: Tensor, gates_EB: Tensor | None) -> Tensor:
        """What the criterion inside reads, of the divided logits.

        Raises:
            UserError: more exits than temperatures.
        """
        exits = len(logits_EBC)
        if exits > len(self.temperatures_E):
            raise UserError(
                f"temperatures of {exits} exits", f"{len(self.temperatures_E)}", "Give those fitted on this model."
            )
        temperatures_E = torch.tensor(self.temperatures_E[:exits], dtype=torch.float32, device=logits_EBC.device)
        return self.criterion.evidence(logits_EBC.float() / temperatures_E[:, None, None], gates_EB)

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """The inner certainties (E, B) of evidence that is divided already."""
        return self.criterion.certainty(logits_EBC)

    def thresholds(self, num_exits: int) -> list[float]:
        """Those of the criterion inside."""
        return self.criterion.thresholds(num_exits)

    def check_threshold(self, threshold: float) -> None:
        """As the criterion inside does."""
        self.criterion.check_threshold(threshold)

    def exits_read(self, threshold: float, num_exits: int) -> range:
        """Those of the criterion inside."""
        return self.criterion.exits_read(threshold, num_exits)

    def check_reachable(self, threshold: float, num_exits: int) -> None:
        """As the criterion inside does."""
        self.criterion.check_reachable(threshold, num_exits)


def temperatures_of(criterion: Criterion, stored_E: Sequence[float] | None) -> tuple[float, ...] | None:
    """Return the temperatures by which probabilities are calibrated at a criterion.

    Args:
        criterion: A `Calibrated` criterion brings its own temperatures.
        stored_E: Temperatures of the run, used with every other criterion; None: the run was not calibrated.
    """
    if isinstance(criterion, Calibrated):
        return criterion.temperatures_E
    return None if stored_E is None else tuple(stored_E)


def check_temperatures(temperatures_E: Sequence[float]) -> None:
    """Raise `UserError` unless there is at least one temperature and all are positive and finite."""
    if not temperatures_E or not all(0 < temperature < math.inf for temperature in temperatures_E):
        raise UserError(
            "a positive temperature per exit",
            f"{list(temperatures_E)}",
            "Validate the run again with --exit_sweep.calibrate=true.",
        )
