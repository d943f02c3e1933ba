"""How often gradients conflict, over which angles, and what a cheaper scope makes of it: rows for CSV and Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from acl_lightning.studies.grouping import Group
from acl_lightning.studies.spread import spread
from acl_lightning.studies.tables import Row
from acl_lightning.studies.watch_record import PER_LAYER, WHOLE, Comparison, Watch, agreement, conflict_rate


@dataclass(frozen=True)
class WatchedGroup:
    """Runs that differ in nothing but the seed, and what was watched in each."""

    group: Group
    watches: tuple[Watch, ...]

    @property
    def terms(self) -> list[str]:
        """The watched terms; runs of equal settings have the same."""
        return list(self.watches[0].comparisons)

    def heading(self) -> Row:
        """What every table begins with."""
        return {
            "task": self.group.task,
            "train_rows": self.group.train_rows,
            "group": self.group.label,
            "n": len(self.watches),
            "seeds": " ".join(str(seed) for seed in self.group.seeds),
        }


def angle_rows(groups: Sequence[WatchedGroup]) -> list[Row]:
    """One row per group and term: the angle over all parameters, in degrees, and how often it is beyond 90.

    Minimum, median, maximum and the 5th and 95th percentile are over the recorded steps of all runs; the conflict rate
    is a mean over runs with its sample standard deviation (empty where n is 1).
    """
    return [
        {**watched.heading(), "term": term, **_angles(watched, term)} for watched in groups for term in watched.terms
    ]


def _angles(watched: WatchedGroup, term: str) -> Row:
    compared = [one for watch in watched.watches for one in watch.overall(term)]
    defined = [one for one in compared if one.angle == one.angle]  # NaN is not equal to itself
    angles, found = [one.angle for one in defined], [one.cosine for one in defined]
    row: Row = {"steps": len(compared), "undefined_steps": len(compared) - len(defined)}
    if defined:
        low, high = np.percentile(angles, [5, 95]).tolist()
        row |= {
            "angle_min": min(angles),
            "angle_p5": low,
            "angle_median": statistics.median(angles),
            "angle_p95": high,
            "angle_max": max(angles),
            "cosine_min": min(found),
            "cosine_max": max(found),
        }
    return row | _over_runs("conflict_rate", watched, lambda watch: conflict_rate(watch.overall(term)))


def agreement_rows(groups: Sequence[WatchedGroup]) -> list[Row]:
    """One row per group, term and cheaper scope: how often it decides as `AllParameters` does, mean and deviation.

    A scope that decides per group counts each of its groups' decisions. `without_a_test` is the agreement of never
    discarding: a scope that does not exceed it is worth nothing here.
    """
    return [
        {**watched.heading(), "term": term, "scope": scope, **_agreement(watched, term, scope)}
        for watched in groups
        for term in watched.terms
        for scope in watched.watches[0].comparisons[term]
        if scope != WHOLE
    ]


def _agreement(watched: WatchedGroup, term: str, scope: str) -> Row:
    def cheaper(watch: Watch) -> Sequence[Comparison]:
        return watch.comparisons[term][scope]

    steps = sum(len(watch.overall(term)) for watch in watched.watches)
    return {
        "steps": steps,
        "decisions": sum(len(cheaper(watch)) for watch in watched.watches),
        **_over_runs("agreement", watched, lambda watch: agreement(cheaper(watch), watch.overall(term))),
        **_over_runs("without_a_test", watched, lambda watch: 1 - conflict_rate(watch.overall(term))),
        **_over_runs("conflict_rate", watched, lambda watch: conflict_rate(cheaper(watch))),
        **_over_runs("conflict_rate_all", watched, lambda watch: conflict_rate(watch.overall(term))),
    }


def layer_rows(groups: Sequence[WatchedGroup]) -> list[Row]:
    """One row per group, term and layer: conflict rate, mean and deviation over runs, and the median angle."""
    rows = []
    for watched in groups:
        for term in watched.terms:
            layers = dict.fromkeys(one.group for one in watched.watches[0].comparisons[term].get(PER_LAYER, ()))
            rows += [
                {**watched.heading(), "term": term, "layer": layer, **_layer(watched, term, layer)} for layer in layers
            ]
    return rows


def _layer(watched: WatchedGroup, term: str, layer: str) -> Row:
    def here(watch: Watch) -> list[Comparison]:
        return [one for one in watch.comparisons[term][PER_LAYER] if one.group == layer]

    angles = [one.angle for watch in watched.watches for one in here(watch) if one.angle == one.angle]
    return {
        "steps": sum(len(here(watch)) for watch in watched.watches),
        "angle_median": statistics.median(angles) if angles else None,
        **_over_runs("conflict_rate", watched, lambda watch: conflict_rate(here(watch))),
    }


def _over_runs(name: str, watched: WatchedGroup, value: Callable[[Watch], float]) -> Row:
    over_runs = spread([value(watch) for watch in watched.watches])
    return {f"{name}_mean": over_runs.mean, f"{name}_std": over_runs.std}
