"""Study of finished runs from their results: quality of every exit, operating points, and curves over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from acl_lightning.studies.curves.seed_curves import curves_figure
from acl_lightning.studies.grouping import Group, cautions, comparisons, group_runs
from acl_lightning.studies.reading import Run, UnfinishedRun, read_finished
from acl_lightning.studies.report import Report
from acl_lightning.studies.statistics import Spread, spread
from acl_lightning.studies.tables import Row, Table

#: Columns of an operating point in the summary: measure, heading, factor, decimals.
POINT_COLUMNS = (
    ("quality", "quality", 100.0, 1),
    ("loss_points", "drop in points", 1.0, 1),
    ("layer_speedup", "layer speed-up", 1.0, 2),
    ("flops_speedup", "FLOPs speed-up", 1.0, 2),
)

#: Measure of an operating point whose name in the CSV files is that of earlier versions.
ATTRIBUTES = {"loss_points": "drop_points"}


def collect(directories: Sequence[Path], criterion: str = "entropy", names: Sequence[str] | None = None) -> Report:
    """Compare finished runs by what they wrote: `result.json`, `config.yaml`, `exit_sweep.csv` and the logs.

    The report has `runs.csv` (a row per run), `summary.csv` (a row per group), two tables and a figure
    `curves_TASK_ROWS.png` per task and training size. Unfinished runs are listed.

    Args:
        directories: Run directories.
        criterion: Name of the criterion that the curves are about.
        names: Names of the groups, see `group_runs`.

    Raises:
        UserError: A run does not exist or is listed twice, no run is finished, the criterion was not swept, or the
            number of names is not the number of groups.
    """
    runs, unfinished = read_finished(directories)
    groups = group_runs(runs, names)
    compared = comparisons(groups)
    return Report(
        runs=runs,
        unfinished=unfinished,
        tables=[table for alike in compared.values() for table in (_exit_table(alike), _point_table(alike))],
        notes=cautions(groups),
        csv_files={"runs.csv": run_rows(groups, unfinished), "summary.csv": summary_rows(groups)},
        figures={
            f"curves_{task}_{train_rows}.png": curves_figure(alike, criterion)
            for (task, train_rows), alike in compared.items()
        },
    )


def measures(run: Run) -> dict[str, float]:
    """Return what is averaged over seeds: `exit_LAYER`, `full_depth`, and `POINT_MEASURE` per recommended point.

    Qualities are the task's primary metric on the report split, as fractions; `loss_points` is in hundredths.
    Undefined values are NaN.
    """
    values = {f"exit_{layer}": quality for layer, quality in run.exit_quality.items()}
    values["full_depth"] = run.report.full_depth[run.metric]
    for name, point in run.report.recommended.items():
        for measure, *_ in POINT_COLUMNS:
            values[f"{name}_{measure}"] = float(getattr(point, ATTRIBUTES.get(measure, measure)))
    return values


def run_rows(groups: Sequence[Group], unfinished: Sequence[UnfinishedRun]) -> list[Row]:
    """Return a row per run, group by group; then the unfinished runs with their status and reason."""
    rows = [_run_row(run, group) for group in groups for run in group.runs]
    return rows + [{"run": run.name, "status": run.status, "reason": run.reason} for run in unfinished]


def summary_rows(groups: Sequence[Group]) -> list[Row]:
    """Return a row per group: number of runs `n`, the seeds, and `MEASURE_mean` and `MEASURE_std` over the runs."""
    rows = []
    for group in groups:
        first = group.runs[0]
        row: Row = {
            "task": group.task,
            "group": group.label,
            "n": len(group.runs),
            "seeds": group.seeds_text,
            "train_rows": group.train_rows,
            "report_samples": first.report.samples.report,
            "metric": first.metric,
        }
        for name in measures(first):
            row |= _over_seeds(group, name).columns(name)
        rows.append(row)
    return rows


def _run_row(run: Run, group: Group) -> Row:
    origin = run.provenance
    git = origin.git or {}
    criteria: Row = {}
    for name, point in run.report.recommended.items():
        criteria |= {f"{name}_criterion": point.criterion_name, f"{name}_threshold": point.threshold}
    return {
        "run": run.name,
        "status": "finished",
        "reason": None,
        "task": run.task,
        "group": group.label,
        "seed": run.seed,
        "train_rows": group.train_rows,
        "report_samples": run.report.samples.report,
        "metric": run.metric,
        **measures(run),
        **criteria,
        **run.gradient_summary,
        "fit_seconds": origin.fit_seconds,
        "device": origin.device,
        "precision": origin.precision,
        "torch": origin.versions.get("torch"),
        "commit": _cell(git.get("commit")),
        "dirty": _cell(git.get("dirty")),
        "config_hash": origin.config_hash,
    }


def _cell(value: str | bool | None) -> str | None:
    return str(value).lower() if isinstance(value, bool) else value


def _exit_table(groups: Sequence[Group]) -> Table:
    layers = sorted({layer for group in groups for layer in group.runs[0].report.exit_layers})
    rows = [
        [group.label, str(len(group.runs)), *(_text(group, f"exit_{layer}", 100.0, 1) for layer in layers)]
        for group in groups
    ]
    return Table(f"{_title(groups)}, at each exit", ["group", "n", *(f"exit {layer}" for layer in layers)], rows)


def _point_table(groups: Sequence[Group]) -> Table:
    rows = []
    for group in groups:
        rows.append([group.label, str(len(group.runs)), "full depth", _text(group, "full_depth", 100.0, 1)])
        for name in group.runs[0].report.recommended:
            cells = (_text(group, f"{name}_{measure}", factor, digits) for measure, _, factor, digits in POINT_COLUMNS)
            rows.append(["", "", name, *cells])
    headings = ["group", "n", "point", *(heading for _, heading, _, _ in POINT_COLUMNS)]
    return Table(f"{_title(groups)}, at the recommended points", headings, rows, frozenset({"group", "point"}))


def _title(groups: Sequence[Group]) -> str:
    firsts = [group.runs[0] for group in groups]
    metrics, samples = _joined(run.metric for run in firsts), _joined(run.report.samples.report for run in firsts)
    split = _joined(run.report.samples.report_name for run in firsts)
    return (
        f"{groups[0].data}: {metrics} in % on the {split} ({samples} samples), "
        "mean ± sample standard deviation over n seeds"
    )


def _joined(values: Iterable[object]) -> str:
    return " or ".join(dict.fromkeys(str(value) for value in values))


def _text(group: Group, measure: str, factor: float, digits: int) -> str:
    """Return mean ± standard deviation over the group's runs; empty where the runs do not have the measure."""
    has_measure = measure in measures(group.runs[0])
    return _over_seeds(group, measure).text(factor, digits) if has_measure else ""


def _over_seeds(group: Group, measure: str) -> Spread:
    return spread([measures(run)[measure] for run in group.runs])
