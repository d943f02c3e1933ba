"""Measures of recorded gradients, as rows of the CSV files: angles, agreement of cheaper scopes, and layers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from acl_lightning.runs.records import ALL_PARAMETERS, PER_LAYER, GradientComparison
from acl_lightning.studies.grouping import Group
from acl_lightning.studies.reading import GradientRecord
from acl_lightning.studies.statistics import spread
from acl_lightning.studies.tables import Row


@dataclass(frozen=True)
class RecordedGroup:
    """Runs that differ in the seed only, and the recorded gradients of each.

    Attributes:
        group: The runs.
        records: Recorded gradients of each run.
    """

    group: Group
    records: tuple[GradientRecord, ...]

    @property
    def terms(self) -> list[str]:
        """Names of the recorded terms; runs of equal settings have the same terms."""
        return list(self.records[0].comparisons)

    def heading(self, term: str) -> Row:
        """Return the first cells of a row of every CSV file."""
        return {
            "task": self.group.task,
            "train_rows": self.group.train_rows,
            "group": self.group.label,
            "n": len(self.records),
            "seeds": self.group.seeds_text,
            "term": term,
        }

    def over_runs(self, name: str, value: Callable[[GradientRecord], float]) -> Row:
        """Return mean and standard deviation over the runs of a value, as cells of a row."""
        return {**spread([value(record) for record in self.records]).columns(name)}


def angle_rows(groups: Sequence[RecordedGroup]) -> list[Row]:
    """Return a row per group and term: angles over all parameters in degrees, and how often they exceed 90.

    Minimum, median, maximum and the 5th and 95th percentiles are over the recorded steps of all runs. The conflict
    rate is a mean over runs with its standard deviation.
    """
    return [{**group.heading(term), **_angles(group, term)} for group in groups for term in group.terms]


def agreement_rows(groups: Sequence[RecordedGroup]) -> list[Row]:
    """Return a row per group, term and cheaper scope: the share of its decisions that equal `AllParameters`'.

    A scope that decides per group of parameters counts the decision of every group. `without_a_test` is the agreement
    of a rule that never discards: a useful scope exceeds it.
    """
    return [
        {**group.heading(term), "scope": scope, **_agreement(group, term, scope)}
        for group in groups
        for term in group.terms
        for scope in group.records[0].comparisons[term]
        if scope != ALL_PARAMETERS
    ]


def layer_rows(groups: Sequence[RecordedGroup]) -> list[Row]:
    """Return a row per group, term and layer: conflict rate over the runs and median angle."""
    rows = []
    for group in groups:
        for term in group.terms:
            per_layer = group.records[0].comparisons[term].get(PER_LAYER, ())
            layers = dict.fromkeys(comparison.group for comparison in per_layer)
            rows += [{**group.heading(term), "layer": layer, **_layer(group, term, layer)} for layer in layers]
    return rows


def conflict_rate(comparisons: Sequence[GradientComparison]) -> float:
    """Return the share of the comparisons with a conflict."""
    return sum(comparison.conflict for comparison in comparisons) / len(comparisons)


def median_angle(comparisons: Sequence[GradientComparison]) -> float | None:
    """Return the median of the defined angles, in degrees; None without one."""
    angles = [comparison.angle for comparison in comparisons if not np.isnan(comparison.angle)]
    return statistics.median(angles) if angles else None


def agreement_rate(comparisons: Sequence[GradientComparison], overall: Sequence[GradientComparison]) -> float:
    """Return the share of the comparisons whose decision equals that over all parameters at the same step."""
    decisions = {comparison.step: comparison.conflict for comparison in overall}
    return sum(comparison.conflict == decisions[comparison.step] for comparison in comparisons) / len(comparisons)


def _angles(group: RecordedGroup, term: str) -> Row:
    compared = [comparison for record in group.records for comparison in record.overall(term)]
    defined = [comparison for comparison in compared if not np.isnan(comparison.angle)]
    angles, cosines = [comparison.angle for comparison in defined], [comparison.cosine for comparison in defined]
    row: Row = {"steps": len(compared), "undefined_steps": len(compared) - len(defined)}
    if defined:
        low, high = np.percentile(angles, [5, 95]).tolist()
        row |= {
            "angle_min": min(angles),
            "angle_p5": low,
            "angle_median": statistics.median(angles),
            "angle_p95": high,
            "angle_max": max(angles),
            "cosine_min": min(cosines),
            "cosine_max": max(cosines),
        }
    return row | group.over_runs("conflict_rate", lambda record: conflict_rate(record.overall(term)))


def _agreement(group: RecordedGroup, term: str, scope: str) -> Row:
    def cheaper(record: GradientRecord) -> Sequence[GradientComparison]:
        return record.comparisons[term][scope]

    return {
        "steps": sum(len(record.overall(term)) for record in group.records),
        "decisions": sum(len(cheaper(record)) for record in group.records),
        **group.over_runs("agreement", lambda record: agreement_rate(cheaper(record), record.overall(term))),
        **group.over_runs("without_a_test", lambda record: 1 - conflict_rate(record.overall(term))),
        **group.over_runs("conflict_rate", lambda record: conflict_rate(cheaper(record))),
        **group.over_runs("conflict_rate_all", lambda record: conflict_rate(record.overall(term))),
    }


def _layer(group: RecordedGroup, term: str, layer: str) -> Row:
    def of_layer(record: GradientRecord) -> list[GradientComparison]:
        return [comparison for comparison in record.comparisons[term][PER_LAYER] if comparison.group == layer]

    compared = [comparison for record in group.records for comparison in of_layer(record)]
    return {
        "steps": len(compared),
        "angle_median": median_angle(compared),
        **group.over_runs("conflict_rate", lambda record: conflict_rate(of_layer(record))),
    }
