"""Values of the measures in every cell, and the pairs of two cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from acl_lightning.errors import UserError
from acl_lightning.studies.comparison.cells import Cell
from acl_lightning.studies.comparison.measures import Measured, known_measure, measure_curves
from acl_lightning.studies.comparison.paired import PairedDifference, paired_difference
from acl_lightning.studies.comparison.specification import MEASURES, check_names
from acl_lightning.studies.comparison.trial_results import TrialResult
from acl_lightning.studies.statistics import Spread, spread

#: Measure that stands for all exits.
EXITS = "exits"


@dataclass(frozen=True)
class CellValues:
    """Measures of the finished trials of a cell.

    Attributes:
        cell: The cell.
        trials: Finished trials of the selected setting, and their measures by name.
    """

    cell: Cell
    trials: tuple[tuple[TrialResult, Mapping[str, Measured]], ...]

    def spread(self, measure: str) -> Spread | None:
        """Return mean and standard deviation over seeds; None where no trial has the measure."""
        values = [measured[measure].report for _, measured in self.trials if measure in measured]
        return spread(values) if values else None


@dataclass(frozen=True)
class Pairs:
    """Pairs of trials of two methods with the same seed and the same report samples.

    Attributes:
        difference: Difference of the measure, first method minus second; None without a pair.
        samples: Number of report samples of each pair; 0 without a pair.
        unpaired: Seeds that only one of the methods has.
        refused: Seeds whose trials have different report samples, labels or metrics.
    """

    difference: PairedDifference | None
    samples: int
    unpaired: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def cell_values(cells: Sequence[Cell], measures: Sequence[str], resamples: int) -> list[CellValues]:
    """Measure the selected trials of all cells; those of a column on the same resamples.

    Args:
        cells: Cells of the study.
        measures: Names of measures of samples or of logged values; `exits` stands for every exit.
        resamples: Number of bootstrap resamples.

    Raises:
        UserError: A measure is neither one of samples nor a value that a trial logged.
    """
    columns: dict[tuple[str, ...], list[TrialResult]] = {}
    for cell in cells:
        members = columns.setdefault(cell.column.values, [])
        members += () if cell.selected is None else cell.selected.results
    everywhere = [result for results in columns.values() for result in results]
    _check_measures(measures, everywhere)
    of_trial: dict[str, dict[str, Measured]] = {}
    for results in columns.values():
        distinct = list({result.trial.id: result for result in results}.values())
        if distinct:
            names = expanded(measures, distinct)
            curves = [result.curve for result in distinct]
            measured = measure_curves(curves, [name for name in names if known_measure(name)], resamples=resamples)
            for result, by_name in zip(distinct, measured, strict=True):
                logged = {name: Measured(result.logged[name]) for name in names
                          if not known_measure(name) and name in result.logged}  # fmt: skip
                of_trial[result.trial.id] = by_name | logged
    return [
        CellValues(
            cell,
            tuple((result, of_trial[result.trial.id]) for result in (cell.selected.results if cell.selected else ())),
        )
        for cell in cells
    ]


def expanded(measures: Sequence[str], results: Sequence[TrialResult]) -> list[str]:
    """Return the names of the measures with `exit_K` for every exit in place of `exits`."""
    layers = sorted({layer for result in results for layer in result.curve.record.costs.layers_E})
    names = [part for name in measures for part in ([f"exit_{layer}" for layer in layers] if name == EXITS else [name])]
    return list(dict.fromkeys(names))


def pair(first: CellValues, second: CellValues, measure: str) -> Pairs:
    """Return the paired difference of a measure between two cells of a column, over the seeds that both have.

    Args:
        first: Cell of a method.
        second: Cell of the method that is subtracted.
        measure: Name of the measure.
    """
    by_seed = [
        {str(result.seed): (result, measured[measure]) for result, measured in values.trials if measure in measured}
        for values in (first, second)
    ]
    common = [seed for seed in by_seed[0] if seed in by_seed[1]]
    unpaired = tuple(sorted(set(by_seed[0]) ^ set(by_seed[1])))
    refused = tuple(seed for seed in common if not _same_samples(by_seed[0][seed][0], by_seed[1][seed][0]))
    both = [(by_seed[0][seed], by_seed[1][seed]) for seed in common if seed not in refused]
    if not both:
        return Pairs(None, 0, unpaired, refused)
    differences_S = np.array([left.report - right.report for (_, left), (_, right) in both])
    resampled = [left.resampled_R - right.resampled_R for (_, left), (_, right) in both
                 if left.resampled_R is not None and right.resampled_R is not None]  # fmt: skip
    resampled_RS = np.stack(resampled, axis=1) if len(resampled) == len(both) else None
    if resampled_RS is not None:
        resampled_RS = resampled_RS[~np.isnan(resampled_RS).any(axis=1)]
    samples = len(both[0][0][0].curve.record.labels_B)
    return Pairs(paired_difference(differences_S, resampled_RS), samples, unpaired, refused)


def _same_samples(first: TrialResult, second: TrialResult) -> bool:
    left, right = first.curve.record, second.curve.record
    if first.curve.run.metric != second.curve.run.metric or len(left.index_B) != len(right.index_B):
        return False
    (left_B, left_order), (right_B, right_order) = left.index_B.sort(), right.index_B.sort()
    return torch.equal(left_B, right_B) and torch.equal(left.labels_B[left_order], right.labels_B[right_order])


def _check_measures(measures: Sequence[str], results: Sequence[TrialResult]) -> None:
    logged = sorted({name for result in results for name in result.logged})
    for name in measures:
        if name != EXITS and not known_measure(name) and name not in logged:
            close_first = [*MEASURES, *logged]
            try:
                check_names([name], close_first, "a measure in table.yaml")
            except UserError as error:
                known = f"{', '.join(MEASURES)}, exit_K, speedX, flopsX, or a logged value"
                raise UserError(f"a measure in table.yaml: {known}", repr(name), error.remedy) from None
