"""Captions, protocol and notes of the tables of a study: splits, selection, tests, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from acl_lightning.runs.names import EXIT_LATENCY
from acl_lightning.studies.comparison.cells import Cell, absent_variants
from acl_lightning.studies.comparison.columns import short_text
from acl_lightning.studies.comparison.measures import needs_latency
from acl_lightning.studies.comparison.paired import POWER
from acl_lightning.studies.comparison.specification import TableSpecification, heading_of
from acl_lightning.studies.comparison.tables import Comparison, MethodTable
from acl_lightning.studies.comparison.trial_results import AnyTrial, MissingTrial, TrialResult
from acl_lightning.studies.comparison.values import StudyValues

#: Split that the selection split is taken from -> description of the two splits.
PROTOCOLS = {
    "train": "Reported on the whole validation split, selected on training rows that are never trained on",
    "validation": "Reported on a part of the validation split, selected on the rest of it",
}

#: Mark of a value that differs significantly from the baseline.
MARK = "†"

#: Number of trials that a note lists by name.
LISTED = 5


def caption(specification: TableSpecification, table: MethodTable, values: StudyValues) -> str:
    """Return the caption of a table: unit, splits and samples, and the meaning of the marks that it has.

    Args:
        specification: Content of `table.yaml`.
        table: The table.
        values: Measures of all cells.
    """
    results, cells = _results_of(table, values), [cell for row in table.cells for cell in row]
    metric = _joined(result.curve.run.metric for result in results) or "quality"
    unit = f"{metric} in %" if table.is_quality else "logged values"
    count = "n, or n/trials where some have no result" if any(cell.values.states for cell in cells) else "n"
    sentences = [
        f"{table.title[0].upper()}{table.title[1:]}: {unit}, mean ± standard deviation over n seeds ({count}).",
    ]
    if table.is_quality and results:
        sentences.append(f"{_splits(results)}.")
    if table.tests:
        test = (
            f"paired test over {'seeds and samples' if table.is_quality else 'seeds'}, level {specification.level:g}, "
            f"Holm correction for {table.tests} comparisons"
        )
        differs = (
            f"{MARK} differs from" if any(cell.differs for cell in cells) else "No value differs significantly from"
        )
        sentences.append(f"{differs} {specification.baseline} ({test}).")
    if any(cell.is_best for cell in cells):
        sentences.append("Bold: higher than every other mean of the column at this level (Bonferroni correction).")
    return " ".join(sentences)


def _results_of(table: MethodTable, values: StudyValues) -> list[TrialResult]:
    """Return the finished trials of the columns that a table shows."""
    shown = {cell.values.condition for row in table.cells for cell in row}
    columns = [column for column in values.columns if column.heading in shown]
    return [result for column in columns for result in values.results(column)]


def protocol(specification: TableSpecification, values: StudyValues) -> list[str]:
    """Return what holds for all tables, a sentence each: selection of settings, checkpoints and thresholds, tests.

    Args:
        specification: Content of `table.yaml`.
        values: Measures of all cells.
    """
    sentences = [
        _tuning(specification, values.cells),
        "Checkpoints, temperatures and thresholds are selected on the selection split. "
        f"Exit criterion: {_criteria(specification, values.results())}.",
    ]
    if specification.baseline is not None:
        sentences.append(
            f"Differences are from {specification.baseline}, paired over seeds and report samples; intervals are not "
            f"corrected for the number of comparisons, p (Holm) is. Detectable: the smallest true difference that the "
            f"table shows with a probability of {POWER:g}."
        )
    return [sentence for sentence in sentences if sentence]


def notes(trials: Sequence[AnyTrial], values: StudyValues, tables: Sequence[MethodTable]) -> list[str]:
    """Return what limits the tables: missing, stale and damaged trials, pairs that were not used, different origins.

    Args:
        trials: All trials of the study.
        values: Measures of all cells.
        tables: The tables.
    """
    by_state: dict[str, list[MissingTrial]] = {}
    in_cells = [trial for cell in values.cells for setting in cell.settings for trial in setting.missing]
    missing = [*(trial for trial in trials if isinstance(trial, MissingTrial)), *in_cells]
    for trial in {(trial.trial.id, trial.state): trial for trial in missing}.values():
        by_state.setdefault(trial.state, []).append(trial)
    sentences = [_missing_note(state, alike) for state, alike in by_state.items()]
    sentences += _absent_notes(trials, values)
    used = {trial.trial.id for cell in values.cells for setting in cell.settings for trial in setting.trials}
    unused = sum(trial.trial.id not in used for trial in trials)
    if unused:
        sentences.append(f"{unused} of {len(trials)} trials belong to no row.")
    sentences += _pair_notes([comparison for table in tables for comparison in table.comparisons])
    sentences += _latency_note(values, tables)
    return list(dict.fromkeys([*sentences, *_origin_notes(values.results())]))


def _origin_notes(results: Sequence[TrialResult]) -> list[str]:
    """Return what trials that are compared differ in beside their parameters: commit, device, precision."""
    origins = [result.curve.run.provenance for result in results]
    states = [origin.git or {} for origin in origins]
    sentences = []
    if len({state.get("commit") for state in states}) > 1:
        sentences.append("The trials come from more than one commit; see provenance.json.")
    if any(state.get("dirty") for state in states):
        sentences.append("Trials were run with uncommitted changes; see provenance.json.")
    for name, kinds in (
        ("devices", Counter(origin.device for origin in origins)),
        ("precisions", Counter(origin.precision for origin in origins)),
    ):
        if len(kinds) > 1:
            counts = ", ".join(f"{kind or 'unknown'} ({count})" for kind, count in kinds.items())
            sentences.append(f"The trials were run with different {name}: {counts}.")
    return sentences


def _absent_notes(trials: Sequence[AnyTrial], values: StudyValues) -> list[str]:
    """Return which columns, which rows, and which variants of the other rows have no trial."""
    rows = {cell.row.label: cell.row for cell in values.cells}
    absent: dict[str, list[str]] = {}
    for label, parameters in absent_variants(rows.values(), trials):
        absent.setdefault(label, []).append(parameters)
    whole = [f"{label} ({texts[0]})" for label, texts in absent.items() if len(texts) == len(rows[label].variants)]
    parts = {label: texts for label, texts in absent.items() if len(texts) < len(rows[label].variants)}
    columns = [
        column.heading
        for column in values.columns
        if not any(cell.settings for cell in values.cells if cell.column == column)
    ]
    return [
        *([f"Columns without trials: {', '.join(columns)}."] if columns else []),
        *([f"Rows without trials: {', '.join(whole)}."] if whole else []),
        *(f"Row {label}: no trial with {'; '.join(texts)}." for label, texts in parts.items()),
    ]


def _pair_notes(comparisons: Sequence[Comparison]) -> list[str]:
    """Return what limits the comparisons, with all places of a reason in one sentence."""
    places: dict[str, list[str]] = {}
    compared: set[str] = set()
    several = len({comparison.condition for comparison in comparisons}) > 1
    for comparison in comparisons:
        pairs = comparison.pairs
        if pairs.difference is None and not pairs.refused:  # the table shows it
            continue
        place = f"{comparison.row}, {comparison.condition}" if several else comparison.row
        compared.add(place)
        reasons = []
        if pairs.unpaired:
            reasons.append(f"{_seeds(pairs.unpaired)} without a partner, not in the comparison")
        if pairs.refused:
            reasons.append(
                f"{_seeds(pairs.refused)} measured on other samples or labels than the baseline, not in the comparison"
            )
        if pairs.difference is not None and pairs.difference.seeds == 1:
            reasons.append("one pair of seeds; the interval is over samples only, and there is no test")
        for reason in reasons:
            places.setdefault(reason, []).append(place)
    notes = []
    for reason, alike in places.items():
        everywhere = len(compared) > 2 and compared == set(alike)
        notes.append(f"{'All comparisons' if everywhere else '; '.join(dict.fromkeys(alike))}: {reason}.")
    return notes


def _latency_note(values: StudyValues, tables: Sequence[MethodTable]) -> list[str]:
    """Return a sentence about trials without measured times, where a table needs them."""
    if not any(needs_latency(row[0].values.measure) for table in tables for row in table.cells):
        return []
    results = values.results()
    without = [result for result in results if not (result.curve.run.directory / EXIT_LATENCY).is_file()]
    if not without:
        return []
    return [
        f"Measured speed: {len(without)} of {len(results)} trials have no {EXIT_LATENCY} and are left out. Measure a "
        f"trial with: python -m acl_lightning latency {without[0].curve.run.directory}."
    ]


def _seeds(seeds: Sequence[str]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"


def _criteria(specification: TableSpecification, results: Sequence[TrialResult]) -> str:
    """Return the criteria of the table, with the rows that have another one."""
    others = [f"{row.label}: {row.criterion}" for row in specification.rows if row.criterion is not None]
    names = {row.criterion for row in specification.rows}
    common = _joined(name for result in results if (name := result.curve.criterion.name) not in names)
    return ", ".join(filter(None, (common, *others)))


def _missing_note(state: str, missing: Sequence[MissingTrial]) -> str:
    named = [f"{trial.trial.id}{f' ({trial.reason})' if trial.reason else ''}" for trial in missing[:LISTED]]
    more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
    meaning = " (result of another version, not used)" if state == "stale" else ""
    return f"Trials {state}{meaning}: {len(missing)}, {', '.join(named)}{more}."


def _splits(results: Sequence[TrialResult]) -> str:
    protocols = _joined(PROTOCOLS[result.curve.run.report.samples.selection_from] for result in results)
    sizes: dict[str, list[str]] = {}
    for result in results:
        samples = result.curve.run.report.samples
        sizes.setdefault(result.curve.run.task, []).append(f"{samples.report} and {samples.selection}")
    numbers = ", ".join(f"{task} {_joined(counts)}" for task, counts in sizes.items())
    return f"{protocols} (report and selection samples: {numbers})"


def _tuning(specification: TableSpecification, cells: Sequence[Cell]) -> str:
    tuning = specification.tune
    if tuning is None:
        return ""
    by_row: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.settings:
            by_row.setdefault(cell.row.label, []).append(cell)
    grids = {
        row: (
            _joined(len(cell.settings) for cell in alike),
            _joined(sum(len(setting.trials) for setting in cell.settings) for cell in alike),
        )
        for row, alike in by_row.items()
    }
    if all(settings == "1" for settings, _ in grids.values()):
        return "Each method has one setting, which was not selected."
    if len(set(grids.values())) == 1:
        settings, trials = next(iter(grids.values()))
        budget = f"{settings} settings and {trials} trials per method and column"
    else:
        budget = "settings and trials per column: " + ", ".join(f"{row} {s} and {t}" for row, (s, t) in grids.items())
    return (
        f"Setting of each method and column: the best {heading_of(tuning.by)} on the selection split, averaged over "
        f"seeds, before the report split is read ({budget}{_grid(tuning.parameters, cells)})."
    )


def _grid(parameters: Sequence[str], cells: Sequence[Cell]) -> str:
    texts = []
    for name in parameters:
        trials = [trial for cell in cells for setting in cell.settings for trial in setting.trials]
        values = dict.fromkeys(
            short_text(trial.trial.parameters[name]) for trial in trials if name in trial.trial.parameters
        )
        texts.append(f"{name}: {', '.join(values)}")
    return f"; grid {'; '.join(texts)}" if texts else ""


def _joined(values: Iterable[object]) -> str:
    return " or ".join(dict.fromkeys(str(value) for value in values))
