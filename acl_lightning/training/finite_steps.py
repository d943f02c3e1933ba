"""Stop of a training whose gradients are not finite step after step."""

from __future__ import annotations

from acl_lightning.errors import UserError
from acl_lightning.gradients import StepReport


class FiniteSteps:
    """Counts the steps in a row with a gradient that is not finite.

    A single such step does no harm: the step is skipped, or the auxiliary term is left out of it. If it always is, the
    training must stop.

    Args:
        limit: Number of such steps in a row after which the training stops.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.broken_in_a_row = 0

    def count(self, report: StepReport) -> None:
        """Count a finished step.

        Raises:
            UserError: The gradient of a term was not finite in `limit` steps in a row.
        """
        broken = report.skipped or not bool(report.products_K.isfinite().all())
        self.broken_in_a_row = self.broken_in_a_row + 1 if broken else 0
        if self.broken_in_a_row >= self.limit:
            raise UserError(
                "a finite gradient of every term",
                f"a gradient that is not finite in {self.broken_in_a_row} steps in a row",
                "Lower model.optimization.learning_rate, raise the temperature of contrastive terms, or set "
                "trainer.precision=32-true.",
            )
