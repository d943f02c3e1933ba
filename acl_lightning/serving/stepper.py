"""The segment loop of adaptive inference: compute a segment, read its exit, drop the samples that leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from acl_lightning.serving.criteria import Floats, ServedCriterion
from acl_lightning.serving.packing import Group, repacked
from acl_lightning.serving.segments import SegmentSession


class DecisionTable:
    """Logits (E, N, C) of each exit for each of N samples, and the exit (N,) at which each sample left.

    Args:
        num_exits: Number of exits E.
        num_samples: Number of samples N.

    Attributes:
        logits_ENC: Logits; zeros at exits that a sample did not reach. None before the first record.
        gates_EN: Logits of the learnt gate; None for a model without a gate.
        cosines_ENC: Cosines with the label embeddings; None for a package without them.
        exit_N: Index of the exit, counted from 0.
    """

    def __init__(self, num_exits: int, num_samples: int) -> None:
        self.exit_N = np.full(num_samples, num_exits - 1, dtype=np.int64)
        self._shape = (num_exits, num_samples)
        self._all = list(range(num_samples))
        self._values: dict[str, Floats] = {}

    @property
    def logits_ENC(self) -> Floats | None:
        """Logits of every exit."""
        return self._values.get("logits")

    @property
    def gates_EN(self) -> Floats | None:
        """Logits of the learnt gate."""
        return self._values.get("gate")

    @property
    def cosines_ENC(self) -> Floats | None:
        """Cosines with the label embeddings."""
        return self._values.get("cosines")

    def record(self, exit_: int, samples: list[int], read: Mapping[str, Floats]) -> dict[str, Floats]:
        """Store the results of one exit for R samples.

        Args:
            exit_: Index of the exit.
            samples: Numbers of the samples.
            read: `logits` (R, C) and, where the package has them, `gate` (R,) and `cosines` (R, C).

        Returns:
            The results of these samples at all exits up to this exit, (exit_ + 1, R, ...) by name.
        """
        # A slice where all samples are computed together, as a single text always is: an index array costs more.
        rows = slice(None) if samples == self._all else samples
        results = {}
        for name, values in read.items():
            if name not in self._values:
                self._values[name] = np.zeros((*self._shape, *values.shape[1:]), dtype=np.float32)
            self._values[name][exit_, rows] = values
            results[name] = self._values[name][: exit_ + 1, rows]
        return results


def step(
    segments: Sequence[SegmentSession],
    groups: list[Group],
    criterion: ServedCriterion,
    threshold: float,
    table: DecisionTable,
    size: int,
) -> None:
    """Decide all samples of some groups.

    All groups pass a segment before the first of them passes the next; then the samples that stay are merged into fewer
    groups.

    Args:
        segments: Segments of the model, in order.
        groups: Token ids; the list is emptied, so that memory is freed as groups are computed.
        criterion: Exit criterion.
        threshold: A sample leaves at the first exit whose certainty is at least this value.
        table: Receives the logits of each exit and the exit of each sample.
        size: Largest number of samples in a merged group.
    """
    bound = np.float32(threshold)  # certainties are float32, also in a sweep
    for exit_, segment in enumerate(segments):
        last = exit_ == len(segments) - 1
        passed: list[Group] = []
        staying: list[list[int]] = []
        while groups:
            group = groups.pop(0)
            read, state = segment(group.state)
            results = table.record(exit_, group.samples, read)
            if last:
                continue
            certainty_R = criterion.certainty(results["logits"], results.get("gate"), results.get("cosines"))
            leaves: list[bool] = (certainty_R >= bound).tolist()
            stay = [row for row, left in enumerate(leaves) if not left]
            if len(stay) < len(leaves):
                table.exit_N[[sample for sample, left in zip(group.samples, leaves, strict=True) if left]] = exit_
            state["attention_mask"] = group.state["attention_mask"]
            group.state = state
            passed.append(group)
            staying.append(stay)
        groups = repacked(passed, staying, size)
        if not groups:
            return
