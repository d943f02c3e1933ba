"""Comparison of speed-quality curves: groups of seeds, their scores, and the baseline of plain models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from acl_lightning.errors import UserError
from acl_lightning.exits import CurvePoint
from acl_lightning.figures.seed_curves import SeedCurve
from acl_lightning.studies.curves.seed_curves import mean_static_exits, seed_curve
from acl_lightning.studies.curves.stored_curves import StoredCurve
from acl_lightning.studies.grouping import Group, explained_names, group_runs, named_with_size
from acl_lightning.studies.reading import Run
from acl_lightning.studies.statistics import Spread, spread

#: Settings in which plain models cut to different numbers of layers differ.
_LAYERS = {"model.encoder.exits", "measured.exits"}


@dataclass(frozen=True)
class GroupCurve:
    """Curve and scores of a group of multi-exit runs that differ in the seed only.

    Attributes:
        label: Name of the group.
        curves: Curve of each run.
        mean: Mean curve with its band.
        area: Area under the curve over layer speed-ups, a fraction.
        elue: ELUE-style score against the reference, in points.
        full_depth: Quality at full depth.
    """

    label: str
    curves: tuple[StoredCurve, ...]
    mean: SeedCurve
    area: Spread
    elue: Spread
    full_depth: Spread


@dataclass(frozen=True)
class CurveComparison:
    """Curves of several groups.

    Attributes:
        task: Task of all runs.
        metric: Primary metric of the task.
        criterion: Name of the criterion.
        speed: `layer_speedup` or `flops_speedup`.
        groups: Groups of multi-exit runs.
        cut: Number of layers -> (speed-up, quality) of plain models with that many layers; may be empty.
        reference: Name of the curve that the ELUE-style scores refer to.
        notes: What limits the comparison.
        split: Name of the split that the runs report.
    """

    task: str
    metric: str
    criterion: str
    speed: str
    groups: tuple[GroupCurve, ...]
    cut: dict[int, tuple[float, float]]
    reference: str
    notes: tuple[str, ...]
    split: str = "report split of the validation set"


def compare(
    curves: Sequence[StoredCurve], criterion: str, speed: str, names: Sequence[str] | None = None
) -> CurveComparison:
    """Group curves and compute their scores.

    Runs with several exits are grouped by their settings. Runs that differ in the seed only become a mean curve with a
    band of one standard deviation; a single run has a 95 % bootstrap band over the samples. Runs with one exit are
    plain models cut to its layer (`model.encoder.exits=[k]`): together they are the baseline.

    Args:
        curves: One curve or more.
        criterion: Name of the criterion.
        speed: `layer_speedup` or `flops_speedup`.
        names: Names of the groups of runs with several exits, see `group_runs`.

    Raises:
        UserError: The runs have different metrics, or the number of names is not the number of groups.
    """
    metrics = dict.fromkeys(curve.run.metric for curve in curves)
    if len(metrics) > 1:
        raise UserError("runs of one metric", ", ".join(metrics), "Compare the runs of each in a call of its own.")
    plain = [curve for curve in curves if len(curve.static) == 1]
    by_directory = {curve.run.directory: curve for curve in curves if len(curve.static) > 1}
    groups = group_runs([curve.run for curve in by_directory.values()], names)
    groups = [replace(group, label="multi-exit") if group.label == "all runs" else group for group in groups]
    named = named_with_size(groups)
    members = [tuple(by_directory[run.directory] for run in group.runs) for group in groups]
    baseline, reference = plain, "the plain model cut to k layers"
    if not plain:
        baseline, reference = list(members[0]), f"the static exits of {named[0].label}"
    reference_points = _reference_points([curve.run for curve in baseline])
    compared = tuple(
        GroupCurve(
            label=group.label,
            curves=alike,
            mean=mean_curve(group, alike, criterion, speed),
            area=spread([curve.area for curve in alike]),
            elue=spread([curve.elue(reference_points) for curve in alike]),
            full_depth=spread([curve.static[-1].quality for curve in alike]),
        )
        for group, alike in zip(named, members, strict=True)
    )
    return CurveComparison(
        task=curves[0].run.task,
        metric=next(iter(metrics)),
        criterion=criterion,
        speed=speed,
        groups=compared,
        cut=mean_static_exits([curve.run for curve in plain], speed),
        reference=reference,
        notes=tuple(_notes(compared, groups, plain)),
        split=_split(curves),
    )


def _split(curves: Sequence[StoredCurve]) -> str:
    """Return the name of the split that the runs report, or of both if the runs differ in it."""
    names = dict.fromkeys(curve.run.report.samples.report_name for curve in curves)
    return " or ".join("report split of the validation set" if name == "report split" else name for name in names)


def _reference_points(runs: Sequence[Run]) -> list[CurvePoint]:
    """Return the mean static exit at each layer: the points of the curve that scores refer to."""
    at_flops = mean_static_exits(runs, "flops_speedup")
    at_layers = mean_static_exits(runs, "layer_speedup")
    return [
        CurvePoint(quality=quality, mean_exit_layer=layer, layer_speedup=at_layers[layer][0], flops_speedup=flops)
        for layer, (flops, quality) in at_flops.items()
    ]


def mean_curve(group: Group, curves: Sequence[StoredCurve], criterion: str, speed: str) -> SeedCurve:
    """Return the mean curve of a group with its band and its upper bound, see `seed_curve`.

    Args:
        group: The runs of the curves.
        curves: Curve of each run.
        criterion: Name of the criterion.
        speed: `layer_speedup` or `flops_speedup`.
    """
    mean = seed_curve(group, criterion, speed)
    if len(curves) == 1:
        mean = replace(mean, interval=curves[0].interval(mean.speeds, speed))
    return replace(mean, oracle=mean_oracle(curves, speed))


def mean_oracle(curves: Sequence[StoredCurve], speed: str) -> list[tuple[float, float]]:
    """Return the mean upper bound of curves as points (speed-up, quality); empty for a regression.

    Args:
        curves: Curve of each run.
        speed: `layer_speedup` or `flops_speedup`.
    """
    oracles = zip(*(curve.oracle for curve in curves), strict=True) if all(curve.oracle for curve in curves) else ()
    return [
        (
            sum(getattr(point, speed) for point in alike) / len(curves),
            sum(point.quality for point in alike) / len(curves),
        )
        for alike in oracles
    ]


def _notes(compared: Sequence[GroupCurve], groups: Sequence[Group], plain: Sequence[StoredCurve]) -> list[str]:
    notes = explained_names(groups)
    for curve, group in zip(compared, groups, strict=True):
        if not any(run.leaves_early for run in curve.curves):
            notes.append(f"{curve.label}: no sample leaves early at any threshold; the curve is one point.")
        if curve.mean.seeds == 1:
            notes.append(f"{curve.label}: one run; its band is a 95 % bootstrap over samples.")
        if group.repeated_seeds:
            notes.append(f"{curve.label}: seed {', '.join(map(str, group.repeated_seeds))} occurs more than once.")
    kinds = {frozenset(item for item in curve.run.settings.items() if item[0] not in _LAYERS) for curve in plain}
    if len(kinds) > 1:
        notes.append(f"The cut baseline averages runs of {len(kinds)} different settings.")
    samples = {len(run.record.labels_B) for curve in compared for run in curve.curves}
    samples |= {len(curve.record.labels_B) for curve in plain}
    if len(samples) > 1:
        notes.append(f"The runs were measured on different numbers of samples: {sorted(samples)}.")
    if not plain:
        notes.append(
            "There is no baseline of plain models cut to k layers. Add runs with model.encoder.exits=[k] to see "
            "whether early exits are better than a smaller model."
        )
    return notes
