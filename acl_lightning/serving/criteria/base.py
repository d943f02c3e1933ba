"""Contract of exit criteria in numpy.

Shapes: E exits up to the current exit, B samples, C classes (1 for a regression). All values are float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: The largest float32 below 1.
BELOW_ONE = np.float32(1.0 - 2.0**-24)


class ServedCriterion(ABC):
    """Certainty of an exit, from the logits of this exit and all exits before it.

    A sample leaves at the first exit with `certainty >= threshold`, else at the last exit. The constructor takes the
    settings by name, as a manifest holds them.

    Attributes:
        name: Name in a manifest.
    """

    name: ClassVar[str]

    @abstractmethod
    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """Return the certainty (B,) of the last of the E exits, never NaN; -inf where a sample must not leave.

        Args:
            logits_EBC: Logits of all exits up to the current exit.
            gates_EB: Logits of the learnt gate; None for a model without a gate.
            cosines_EBC: Cosines with the label embeddings; None for a package without a criterion that reads them.
        """

    def answer(self, logits_EBC: Floats) -> Floats:
        """Return the logits (B, C) by which samples that leave at the last of the E exits are answered."""
        last_BC: Floats = logits_EBC[-1]
        return last_BC
