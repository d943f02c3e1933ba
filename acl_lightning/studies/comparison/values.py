"""Measures of a method in a column, seed by seed, and pairs of two methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from acl_lightning.errors import UserError
from acl_lightning.studies.comparison.cells import Cell
from acl_lightning.studies.comparison.columns import Column
from acl_lightning.studies.comparison.measures import Measured, known_measure, measure_curves
from acl_lightning.studies.comparison.paired import PairedDifference, paired_difference
from acl_lightning.studies.comparison.specification import MEASURES, check_names
from acl_lightning.studies.comparison.trial_results import TrialResult
from acl_lightning.studies.curves.stored_curves import StoredCurve
from acl_lightning.studies.statistics import Spread, spread

#: Measure that stands for all exits.
EXITS = "exits"


@dataclass(frozen=True)
class SeedValue:
    """A measure of a method for one seed.

    Attributes:
        measured: The measure.
        results: Trial that it was measured on; for an average over columns, one trial per column.
    """

    measured: Measured
    results: tuple[TrialResult, ...]


@dataclass(frozen=True)
class MethodValues:
    """A measure of a method in a column.

    Attributes:
        row: Label of the method.
        condition: Heading of the column of the study, for example the task.
        measure: Name of the measure.
        by_seed: Seed as text -> value, for the finished trials of the selected setting.
        trials: Number of trials that the sweep defines for it.
        states: State of the trials without a result -> their number.
        setting: Selected setting; empty where there was nothing to select.
    """

    row: str
    condition: str
    measure: str
    by_seed: Mapping[str, SeedValue]
    trials: int
    states: Mapping[str, int]
    setting: str = ""

    @property
    def spread(self) -> Spread | None:
        """Mean and standard deviation over seeds; None without a finished trial that has the measure."""
        values = [value.measured.report for value in self.by_seed.values()]
        return spread(values) if values else None


@dataclass(frozen=True)
class Pairs:
    """Pairs of trials of two methods with the same seed and the same report samples.

    Attributes:
        difference: Difference of the measure, first method minus second; None without a pair.
        samples: Number of different report samples of each pair, over all columns of an average; 0 without a pair.
        unpaired: Seeds that only one of the methods has.
        refused: Seeds whose trials have different report samples, labels or metrics.
    """

    difference: PairedDifference | None
    samples: int
    unpaired: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def p(self) -> float | None:
        """The p-value of the difference; None without a pair, and for one pair, which is no test over seeds."""
        return None if self.difference is None or self.difference.seeds < 2 else self.difference.p


@dataclass(frozen=True)
class StudyValues:
    """All measures of all cells.

    Attributes:
        cells: Cells of the study.
        measured: Key of a finished trial of a selected setting -> name -> measure.
    """

    cells: tuple[Cell, ...]
    measured: Mapping[tuple[str, str], Mapping[str, Measured]]

    @property
    def columns(self) -> list[Column]:
        """Columns of the study."""
        return list(dict.fromkeys(cell.column for cell in self.cells))

    @property
    def rows(self) -> list[str]:
        """Labels of the methods."""
        return list(dict.fromkeys(cell.row.label for cell in self.cells))

    def results(self, column: Column | None = None) -> list[TrialResult]:
        """Return the finished trials of the selected settings, each once, of a column or of all."""
        results = [
            result
            for cell in self.cells
            if cell.selected is not None and (column is None or cell.column == column)
            for result in cell.selected.results
        ]
        return list({result.key: result for result in results}.values())

    def of(self, row: str, column: Column, measure: str) -> MethodValues:
        """Return a measure of a method in a column."""
        cell = next(cell for cell in self.cells if (cell.row.label, cell.column) == (row, column))
        shown = cell.shown
        if shown is None:
            return MethodValues(row, column.heading, measure, {}, 0, {})
        by_seed = {
            str(result.seed): SeedValue(self.measured[result.key][measure], (result,))
            for result in shown.results
            if measure in self.measured[result.key]
        }
        return MethodValues(
            row, column.heading, measure, by_seed, len(shown.trials), shown.states, shown.parameters
        )  # fmt: skip


def measure_cells(cells: Sequence[Cell], measures: Sequence[str], resamples: int) -> StudyValues:
    """Measure the selected trials of all cells.

    The trials of a column, and those of columns with the same report samples, are measured on the same resamples.

    Args:
        cells: Cells of the study.
        measures: Names of measures of samples or of logged values; `exits` stands for every exit.
        resamples: Number of bootstrap resamples.

    Raises:
        UserError: A measure is neither one of samples nor a value that a trial logged.
    """
    values = StudyValues(tuple(cells), {})
    _check_measures(measures, values.results())
    measured: dict[tuple[str, str], Mapping[str, Measured]] = {}
    seeds: dict[tuple[object, ...], int] = {}
    for column in values.columns:
        results = values.results(column)
        if not results:
            continue
        names = expanded(measures, results)
        of_samples = [name for name in names if known_measure(name)]
        curves = [result.curve for result in results]
        # Columns with the same samples, such as sizes of the training set, share the draws; others are independent.
        seed = seeds.setdefault(_samples(curves), len(seeds))
        for result, by_name in zip(
            results, measure_curves(curves, of_samples, resamples=resamples, seed=seed), strict=True
        ):
            logged = {name: Measured(result.logged[name]) for name in names if name in result.logged}
            measured[result.key] = logged | by_name
    return StudyValues(tuple(cells), measured)


def expanded(measures: Sequence[str], results: Sequence[TrialResult]) -> list[str]:
    """Return the names of the measures with `exit_K` for every exit in place of `exits`."""
    layers = sorted({layer for result in results for layer in result.curve.record.costs.layers_E})
    names = [part for name in measures for part in ([f"exit_{layer}" for layer in layers] if name == EXITS else [name])]
    return list(dict.fromkeys(names))


def average(parts: Sequence[MethodValues]) -> MethodValues:
    """Return the mean of a measure over columns, for the seeds that have a value in every column.

    Args:
        parts: The measure of one method in each column.
    """
    common = [seed for seed in parts[0].by_seed if all(seed in part.by_seed for part in parts)]
    states: Counter[str] = Counter()
    for part in parts:
        states.update(part.states)
    return MethodValues(
        parts[0].row,
        "average",
        parts[0].measure,
        {seed: _mean([part.by_seed[seed] for part in parts]) for seed in common},
        max(part.trials for part in parts) if all(part.trials for part in parts) else 0,
        states,
    )


def _mean(values: Sequence[SeedValue]) -> SeedValue:
    resampled = [value.measured.resampled_R for value in values if value.measured.resampled_R is not None]
    return SeedValue(
        Measured(
            float(np.mean([value.measured.report for value in values])),
            None,
            np.mean(resampled, axis=0) if len(resampled) == len(values) else None,
        ),
        tuple(result for value in values for result in value.results),
    )


def pair(first: MethodValues, second: MethodValues) -> Pairs:
    """Return the paired difference of two methods in a column, over the seeds that both have.

    Args:
        first: A method.
        second: The method that is subtracted.
    """
    common = [seed for seed in first.by_seed if seed in second.by_seed]
    unpaired = tuple(sorted(set(first.by_seed) ^ set(second.by_seed)))
    refused = tuple(seed for seed in common if not _same_samples(first.by_seed[seed], second.by_seed[seed]))
    both = [(first.by_seed[seed], second.by_seed[seed]) for seed in common if seed not in refused]
    if not both:
        return Pairs(None, 0, unpaired, refused)
    differences_S = np.array([left.measured.report - right.measured.report for left, right in both])
    resampled = [
        left.measured.resampled_R - right.measured.resampled_R
        for left, right in both
        if left.measured.resampled_R is not None and right.measured.resampled_R is not None
    ]
    resampled_RS = np.stack(resampled, axis=1) if len(resampled) == len(both) else None
    if resampled_RS is not None:
        resampled_RS = resampled_RS[~np.isnan(resampled_RS).any(axis=1)]
    samples = {_samples([result.curve]): len(result.curve.record.labels_B) for result in both[0][0].results}
    return Pairs(paired_difference(differences_S, resampled_RS), sum(samples.values()), unpaired, refused)


def _same_samples(first: SeedValue, second: SeedValue) -> bool:
    """Return whether two trials, or the trials of two averages, have the same metric, report samples and labels."""
    for result, other in zip(first.results, second.results, strict=True):
        if result.curve.run.metric != other.curve.run.metric:
            return False
        left, right = result.curve.record, other.curve.record
        (left_B, left_order), (right_B, right_order) = left.index_B.sort(), right.index_B.sort()
        if not torch.equal(left_B, right_B) or not torch.equal(left.labels_B[left_order], right.labels_B[right_order]):
            return False
    return True


def _samples(curves: Sequence[StoredCurve]) -> tuple[object, ...]:
    """Return what identifies the report samples of trials: their tasks and row numbers."""
    index_U = torch.unique(torch.cat([curve.record.index_B for curve in curves]))
    return (*sorted({curve.run.task for curve in curves}), *index_U.tolist())


def _check_measures(measures: Sequence[str], results: Sequence[TrialResult]) -> None:
    logged = sorted({name for result in results for name in result.logged})
    for name in measures:
        if name != EXITS and not known_measure(name) and name not in logged:
            try:
                check_names([name], [*MEASURES, *logged], "a measure in table.yaml")
            except UserError as error:
                known = f"{', '.join(MEASURES)}, exit_K, speedX, flopsX, measuredX, or a logged value"
                raise UserError(f"a measure in table.yaml: {known}", repr(name), error.remedy) from None
