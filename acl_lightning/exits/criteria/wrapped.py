"""Base class of criteria that apply another criterion to changed logits."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from acl_lightning.exits.criteria.base import Criterion


class Wrapped(Criterion):
    """A criterion that changes what another criterion reads; thresholds and certainties are those of the other.

    Subclasses override `inputs` and `variants`.

    Attributes:
        criterion: The other criterion.
    """

    prefix: ClassVar[str]

    def __init__(self, criterion: Criterion) -> None:
        """Wrap a criterion.

        Args:
            criterion: The criterion. The name in tables is `PREFIX_` followed by its name.
        """
        self.criterion = criterion
        self.name = f"{self.prefix}_{criterion.name}"  # type: ignore[misc]  # tables tell wrapped criteria apart by it

    @property
    def reads_cosines(self) -> bool:  # type: ignore[override]  # that of the inner criterion
        """Whether the inner criterion needs cosines, which do not change."""
        return self.criterion.reads_cosines

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the inner criterion; what changes the logits is the same at every operating point."""
        return self.criterion.settings

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return the certainties (E, B) of the inner criterion; `inputs` has changed the logits."""
        return self.criterion.certainty(logits_EBC)

    def thresholds(self, num_exits: int) -> list[float]:
        """Return the grid of the inner criterion."""
        return self.criterion.thresholds(num_exits)

    def check_threshold(self, threshold: float) -> None:
        """Check the range of the inner criterion."""
        self.criterion.check_threshold(threshold)

    def exits_read(self, threshold: float, num_exits: int) -> range:
        """Return the exits that the inner criterion reads."""
        return self.criterion.exits_read(threshold, num_exits)

    def check_reachable(self, threshold: float, num_exits: int) -> None:
        """Check the threshold against the inner criterion."""
        self.criterion.check_reachable(threshold, num_exits)
