"""Cells of a table: the trials of each method and column, and the setting that the selection split selects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from acl_lightning.errors import UserError
from acl_lightning.studies.comparison.columns import Column, canonical_text, column_key, columns_of, short_text
from acl_lightning.studies.comparison.measures import known_measure, selection_value
from acl_lightning.studies.comparison.specification import (
    CONFIG,
    TableRow,
    TableSpecification,
    check_names,
    config_label,
)
from acl_lightning.studies.comparison.trial_results import SEED, AnyTrial, MissingTrial, TrialResult, with_criterion
from acl_lightning.studies.statistics import spread


@dataclass(frozen=True)
class Setting:
    """Trials that differ in the seed only.

    Attributes:
        parameters: Parameters in which the settings of the method differ, as text; empty where there is one setting.
        results: Finished trials.
        missing: The other trials.
    """

    parameters: str
    results: tuple[TrialResult, ...]
    missing: tuple[MissingTrial, ...]

    @property
    def trials(self) -> tuple[AnyTrial, ...]:
        """All trials, with and without a result."""
        return (*self.results, *self.missing)

    @property
    def states(self) -> dict[str, int]:
        """State of the missing trials -> their number."""
        return dict(Counter(trial.state for trial in self.missing))


@dataclass(frozen=True)
class Cell:
    """Trials of a method in a column.

    Attributes:
        row: The method.
        column: The column.
        settings: Its settings.
        selected: The setting that the tables show; None where no trial has a result.
    """

    row: TableRow
    column: Column
    settings: tuple[Setting, ...]
    selected: Setting | None

    @property
    def shown(self) -> Setting | None:
        """The selected setting, else the first one, whose trials are missing; None without trials."""
        return self.selected or next(iter(self.settings), None)


def table_rows(specification: TableSpecification, trials: Iterable[AnyTrial]) -> tuple[TableRow, ...]:
    """Return the rows of the specification; by default a row per value of `config`."""
    if specification.rows:
        return specification.rows
    values = {canonical_text(trial.trial.parameters[CONFIG]): trial.trial.parameters[CONFIG] for trial in trials
              if CONFIG in trial.trial.parameters}  # fmt: skip
    if not values:
        raise UserError("rows in table.yaml", "none, and no parameter config", "Set rows: {NAME: {PARAMETER: VALUE}}.")
    return tuple(TableRow(config_label(value), ({CONFIG: value},)) for value in values.values())


def build_cells(specification: TableSpecification, trials: Sequence[AnyTrial]) -> list[Cell]:
    """Return the cells of all rows and columns, row by row.

    Args:
        specification: Content of `table.yaml`.
        trials: All trials of the study.

    Raises:
        UserError: No row has a trial; a column, the baseline or a parameter to tune does not exist; or trials of a cell
            differ in a parameter that is neither the seed nor tuned.
    """
    parameters = list(dict.fromkeys(name for trial in trials for name in trial.trial.parameters))
    check_names(specification.columns, parameters, "columns in table.yaml among the parameters of the sweep")
    rows = table_rows(specification, trials)
    tuning = specification.tune
    if tuning is not None:
        check_names(tuning.parameters, parameters, "tune.parameters in table.yaml among the parameters of the sweep")
        if not known_measure(tuning.by):
            names = "last_exit, mean_exits, area, exit_K, speedX, flopsX or measuredX"
            raise UserError(f"tune.by in table.yaml: {names}", repr(tuning.by), "Set tune.by to mean_exits.")
    if specification.baseline is not None:
        check_names([specification.baseline], [row.label for row in rows], "the baseline of table.yaml among the rows")
    _check_rows(rows, trials)
    columns = columns_of(specification, trials)
    return [_cell(specification, row, column, trials) for row in rows for column in columns]


def _check_rows(rows: Sequence[TableRow], trials: Sequence[AnyTrial]) -> None:
    """Refuse rows of which none has a trial, with the nearest value of the parameter of the first."""
    if len(absent_variants(rows, trials)) < sum(len(row.variants) for row in rows):
        return
    row, variant = rows[0], rows[0].variants[0]
    for name, value in variant.items():
        values = dict.fromkeys(canonical_text(trial.trial.parameters.get(name)) for trial in trials)
        check_names([canonical_text(value)], list(values), f"a value of {name} for the row {row.label!r} of table.yaml")
    raise UserError(
        f"a trial for the row {row.label!r} of table.yaml", f"none with {_settings_text(variant.items())}",
        "Add the combination to the sweep, or correct the row.",
    )  # fmt: skip


def absent_variants(rows: Iterable[TableRow], trials: Sequence[AnyTrial]) -> list[tuple[str, str]]:
    """Return label and parameters of each variant of a row that no trial has.

    Args:
        rows: Rows of the table.
        trials: All trials of the study.
    """
    return [
        (row.label, _settings_text(variant.items()))
        for row in rows
        for variant in row.variants
        if not any(TableRow("", (variant,)).matches(trial.trial.parameters) for trial in trials)
    ]


def _cell(specification: TableSpecification, row: TableRow, column: Column, trials: Sequence[AnyTrial]) -> Cell:
    members = [
        with_criterion(trial, row.criterion)
        for trial in trials
        if row.matches(trial.trial.parameters) and column_key(specification, trial) == column.values
    ]
    ignored = {SEED, *specification.columns}
    by_setting: dict[str, list[AnyTrial]] = {}
    for trial in members:
        key = {name: value for name, value in trial.trial.parameters.items() if name not in ignored}
        by_setting.setdefault(canonical_text(key), []).append(trial)
    firsts = [alike[0].trial.parameters for alike in by_setting.values()]
    names = dict.fromkeys(name for first in firsts for name in first if name not in ignored)
    varying = [name for name in names if len({canonical_text(first.get(name)) for first in firsts}) > 1]
    _check_varying(specification, row, varying)
    settings = tuple(
        Setting(
            _settings_text((name, alike[0].trial.parameters.get(name)) for name in varying),
            tuple(trial for trial in alike if isinstance(trial, TrialResult)),
            tuple(trial for trial in alike if isinstance(trial, MissingTrial)),
        )
        for alike in by_setting.values()
    )
    return Cell(row, column, settings, _select(specification, settings))


def _check_varying(specification: TableSpecification, row: TableRow, varying: Sequence[str]) -> None:
    tuned = set() if specification.tune is None else set(specification.tune.parameters)
    tuned |= {name for variant in row.variants for name in variant} if len(row.variants) > 1 else set()
    for name in varying:
        if name not in tuned:
            raise UserError(
                f"trials of the row {row.label!r} of table.yaml that differ in seed and columns only",
                f"several values of {name}",
                f"Add {name} to columns or to tune.parameters, or fix it in the row.",
            )


def _select(specification: TableSpecification, settings: Sequence[Setting]) -> Setting | None:
    """Return the setting with the highest measure on the selection split, averaged over seeds.

    Only settings with the most finished trials are compared, so that an unfinished setting cannot win by a lucky seed.
    Of equal settings the first is selected.
    """
    complete = max((len(setting.results) for setting in settings), default=0)
    candidates = [setting for setting in settings if complete and len(setting.results) == complete]
    if specification.tune is None or len(candidates) < 2:
        return next(iter(candidates), None)
    by = specification.tune.by

    def score(setting: Setting) -> float:
        mean = spread([selection_value(result.curve, by) for result in setting.results]).mean
        return float("-inf") if mean is None else mean

    return max(candidates, key=score)


def _settings_text(parameters: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{name}={short_text(value)}" for name, value in parameters)
