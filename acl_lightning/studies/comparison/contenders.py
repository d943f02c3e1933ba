"""Curves of several runs side by side: seeds become one line, single-exit runs the baseline, and all get a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from acl_lightning.errors import UserError
from acl_lightning.exits import CurvePoint, elue_score
from acl_lightning.figures.seed_curves import SeedCurve
from acl_lightning.studies.comparison.stored_curve import StoredCurve
from acl_lightning.studies.curves import seed_curve, static_exits
from acl_lightning.studies.grouping import Group, group_runs, names_explained
from acl_lightning.studies.spread import Spread, spread

#: Settings in which the runs of one cut baseline differ by nature.
_LAYERS = {"model.encoder.exits", "measured.exits"}


@dataclass(frozen=True)
class Contender:
    """A group of multi-exit runs that differ in the seed alone.

    Attributes:
        label: how it differs from the others.
        curves: one per run.
        line: their mean curve with its band.
        area: area under the curve over layer speed-ups, a fraction.
        elue: ELUE-style score against the reference, in points.
        full_depth: quality at full depth.
    """

    label: str
    curves: tuple[StoredCurve, ...]
    line: SeedCurve
    area: Spread
    elue: Spread
    full_depth: Spread


@dataclass(frozen=True)
class Comparison:
    """Everything that a figure and a table of several runs show.

    Attributes:
        task: of all runs.
        metric: its primary metric.
        contenders: groups of multi-exit runs.
        cut: layers kept -> (speed, quality) of plain models cut to so many layers; empty where no such run was given.
        reference: in words, what the ELUE-style scores refer to.
        notes: what a reader should be wary of.
    """

    task: str
    metric: str
    contenders: tuple[Contender, ...]
    cut: dict[int, tuple[float, float]]
    reference: str
    notes: tuple[str, ...]


def compare(
    curves: Sequence[StoredCurve], criterion: str, speed: str, names: Sequence[str] | None = None
) -> Comparison:
    """Put curves side by side.

    Runs with several exits are grouped by their settings: those that differ in the seed alone become one line, the
    mean, with a band of one standard deviation; a single run has a 95 % bootstrap band over the samples instead. Runs
    with one exit are plain models cut to its layer (`model.encoder.exits=[k]`): together they are the baseline.

    Args:
        curves: at least one.
        criterion: name of the criterion that was asked for.
        speed: `layer_speedup` or `flops_speedup`.
        names: of the groups of runs with several exits, see `group_runs`.

    Raises:
        UserError: runs of different tasks or metrics, or not one name per group.
    """
    task, metric = _in_common(curves, "task"), _in_common(curves, "metric")
    plain = [one for one in curves if len(one.static) == 1]
    multi = [one for one in curves if len(one.static) > 1]
    cut = static_exits([one.run for one in plain], speed)
    by_run = {id(one.run): one for one in multi}
    groups = group_runs([one.run for one in multi], names)
    members = [tuple(by_run[id(run)] for run in group.runs) for group in groups]
    baseline, reference = plain, "the plain model cut to k layers"
    if not plain:
        baseline, reference = list(members[0]), f"the static exits of {_label(groups, groups[0])}"
    at_flops = static_exits([one.run for one in baseline], "flops_speedup")
    at_layers = static_exits([one.run for one in baseline], "layer_speedup")
    points = [
        CurvePoint(quality=quality, mean_exit_layer=layer, layer_speedup=at_layers[layer][0], flops_speedup=flops)
        for layer, (flops, quality) in at_flops.items()
    ]
    contenders = tuple(
        Contender(
            label=_label(groups, group),
            curves=alike,
            line=_line(group, alike, criterion, speed),
            area=spread([one.area for one in alike]),
            elue=spread([elue_score(one.points, points) for one in alike]),
            full_depth=spread([one.static[-1].quality for one in alike]),
        )
        for group, alike in zip(groups, members, strict=True)
    )
    return Comparison(task, metric, contenders, cut, reference, tuple(_notes(contenders, groups, plain)))


def _in_common(curves: Sequence[StoredCurve], key: str) -> str:
    found = dict.fromkeys(str(one.run.result[key]) for one in curves)
    if len(found) > 1:
        raise UserError(f"runs of one {key} in a comparison", ", ".join(found), "Compare each in a call of its own.")
    return next(iter(found))


def _label(groups: Sequence[Group], group: Group) -> str:
    label = "multi-exit" if group.label == "all runs" else group.label
    several = len({one.train_rows for one in groups}) > 1
    return f"{group.train_rows} training rows, {label}" if several else label


def _line(group: Group, curves: Sequence[StoredCurve], criterion: str, speed: str) -> SeedCurve:
    line = seed_curve(group, criterion, speed)
    if len(curves) == 1:
        line = replace(line, interval=curves[0].interval(line.speeds, speed))
    oracles = zip(*(one.oracle for one in curves), strict=True) if all(one.oracle for one in curves) else ()
    mean = [
        (
            sum(getattr(point, speed) for point in alike) / len(curves),
            sum(point.quality for point in alike) / len(curves),
        )
        for alike in oracles
    ]
    return replace(line, oracle=mean)


def _notes(contenders: Sequence[Contender], groups: Sequence[Group], plain: Sequence[StoredCurve]) -> list[str]:
    found = names_explained(groups)
    found += [
        f"{one.label}: no sample leaves early at any threshold; the curve is the single point of full depth."
        for one in contenders
        if not any(curve.leaves_early for curve in one.curves)
    ]
    found += [
        f"{one.label}: one run; its band is a 95 % bootstrap over samples." for one in contenders if one.line.seeds == 1
    ]
    for one, group in zip(contenders, groups, strict=True):
        if group.repeated_seeds:
            found.append(f"{one.label}: seed {', '.join(map(str, group.repeated_seeds))} occurs more than once.")
    kinds = {frozenset(item for item in one.run.settings.items() if item[0] not in _LAYERS) for one in plain}
    if len(kinds) > 1:
        found.append(f"The cut baseline averages runs of {len(kinds)} different settings.")
    samples = {len(curve.record.labels_B) for one in contenders for curve in one.curves}
    samples |= {len(one.record.labels_B) for one in plain}
    if len(samples) > 1:
        found.append(f"The runs were measured on different numbers of samples: {sorted(samples)}.")
    if not plain:
        found.append(
            "No baseline of plain models cut to k layers: give runs with model.encoder.exits=[k]. "
            "A curve without it proves little."
        )
    return found
