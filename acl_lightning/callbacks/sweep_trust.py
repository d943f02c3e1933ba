"""Calibration of the exits, and which samples leave where, in plain JSON types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from matplotlib.figure import Figure

from acl_lightning.exits import (
    Criterion,
    ExitRecord,
    calibration_error,
    exit_histogram,
    fit_temperatures,
    reliability,
)
from acl_lightning.figures import exit_histogram_figure, reliability_figure

T = TypeVar("T")


def calibration_summary(record: ExitRecord) -> list[dict[str, Any]] | None:
    """Per exit `layer`, `temperature` (fitted on the selection half), `error` and `error_calibrated` (report half, ECE
    with 15 bins), and the bins of the reliability diagram before and after; None where there are no classes to be sure
    of, or the logits are not finite.
    """  # noqa: D205 - a list of keys
    if record.is_regression or not record.logits_EBC.isfinite().all():
        return None
    selection, report = record.half(selection=True), record.half(selection=False)
    temperatures_E = fit_temperatures(selection.logits_EBC, selection.labels_B)
    rows = []
    for layer, temperature, logits_BC in zip(record.costs.layers_E, temperatures_E, report.logits_EBC, strict=True):
        before = reliability(logits_BC, report.labels_B)
        after = reliability(logits_BC, report.labels_B, temperature=temperature)
        rows.append(
            {
                "layer": layer,
                "temperature": temperature,
                "error": calibration_error(before),
                "error_calibrated": calibration_error(after),
                "bins": [asdict(one) for one in before if one.count],
                "bins_calibrated": [asdict(one) for one in after if one.count],
            }
        )
    return rows


def histograms(record: ExitRecord, criterion: Criterion, threshold: float) -> dict[str, dict[str, list[float]]]:
    """Share of the report half that leaves at each exit, by `class` and by `difficulty`, where they are known."""
    report = record.half(selection=False)
    exits_B, num_exits = report.leaving(criterion, threshold), len(record.costs.layers_E)
    groups = {"class": None if record.is_regression else report.labels_B, "difficulty": report.difficulty_B}
    return {
        kind: {str(group): list(shares) for group, shares in exit_histogram(exits_B, groups_B, num_exits).items()}
        for kind, groups_B in groups.items()
        if groups_B is not None
    }


def group_counts(record: ExitRecord) -> dict[str, dict[str, int]]:
    """Return the number of samples of the report split, by `class` and by `difficulty`, where they are known."""
    report = record.half(selection=False)
    groups = {"class": None if record.is_regression else report.labels_B, "difficulty": report.difficulty_B}
    return {
        kind: {str(group): count for group, count in sorted(Counter(groups_B.long().tolist()).items())}
        for kind, groups_B in groups.items()
        if groups_B is not None
    }


def trust_figures(summary: Mapping[str, Any], title: str) -> dict[str, Figure]:
    """Return the figures `exit_histogram` and `reliability`, where the summary of the sweep has their values."""
    figures = {}
    if summary["exit_histogram"]:
        figures["exit_histogram"] = exit_histogram_figure(
            summary["exit_layers"],
            _with_label_names(summary["exit_histogram"], summary["label_names"]),
            operating_point=summary["highlighted"],
            title=title,
            counts=_with_label_names(summary["group_counts"], summary["label_names"]),
        )
    if summary["calibration"]:
        rows = {row["layer"]: row for row in summary["calibration"]}
        before, after = (
            {
                layer: [(one["confidence"], one["accuracy"], one["count"]) for one in row[key]]
                for layer, row in rows.items()
            }
            for key in ("bins", "bins_calibrated")
        )
        errors = {layer: (row["error"], row["error_calibrated"]) for layer, row in rows.items()}
        figures["reliability"] = reliability_figure(before, after, errors, title=title)
    return figures


def _with_label_names(groups: Mapping[str, Mapping[str, T]], names: Sequence[str]) -> dict[str, dict[str, T]]:
    """Replace the numbers of the classes by their names, where they have one."""
    return {
        kind: {
            names[int(group)] if kind == "class" and int(group) < len(names) else group: value
            for group, value in members.items()
        }
        for kind, members in groups.items()
    }
