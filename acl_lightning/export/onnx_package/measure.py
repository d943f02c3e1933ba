"""Measurement of a package on the validation split of its run: logits, agreement with torch, operating points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from acl_lightning.data import TextDataModule
from acl_lightning.encoders import model_inputs
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Criterion,
    Ensembled,
    ExitRecord,
    RecommendedPoint,
    SweepReport,
    exit_probabilities,
    temperatures_of,
    to_config,
)
from acl_lightning.exits.criteria.calibrated import Calibrated
from acl_lightning.exits.criteria.static import Static
from acl_lightning.export.onnx_package.agreement import compare_quality, compare_with_torch
from acl_lightning.export.onnx_package.selection import budget_named, swept
from acl_lightning.metrics import quality
from acl_lightning.outputs import predictions
from acl_lightning.serving import AdaptiveSession
from acl_lightning.serving.criteria import BUILT_IN

#: Number of bins of the histogram of confidences.
BINS = 20


@dataclass(frozen=True)
class Measurement:
    """A package on the validation split.

    Attributes:
        record: The run's record with the logits of the package.
        report: Sweep over these logits.
        points: Operating points by name, as a manifest stores them.
        full_depth: Full depth, as a manifest stores an operating point.
        agreement: Comparison with the logits of torch, in plain JSON types.
    """

    record: ExitRecord
    report: SweepReport
    points: Mapping[str, Any]
    full_depth: Mapping[str, Any]
    agreement: Mapping[str, Any]

    @property
    def drops(self) -> dict[str, Mapping[str, float]]:
        """Quality of torch (`torch`), of the package (`package`) and the drop in points, `drop_points`.

        On all validation rows, at full depth (`full_depth`) and at each operating point of both, by name.
        """
        return {"full_depth": self.agreement["quality"], **self.agreement["quality_at_points"]}


def measure(session: AdaptiveSession, data: TextDataModule, stored: ExitRecord, result: SweepReport) -> Measurement:
    """Run a package on the validation split and select its operating points on its logits.

    Args:
        session: The package, without operating points.
        data: DataModule of the run.
        stored: Record of the run, measured with torch.
        result: Sweep of the run.

    Raises:
        UserError: The rows of the validation split are not those of the record.
    """
    record = package_record(session, data, stored)
    report = swept(record, result)
    criteria = _criteria(report, result)
    points = {name: describe_point(record, *point, report) for name, point in criteria.items()}
    depth = (Static(), float(len(record.costs.layers_E)))
    agreement = compare_with_torch(stored, record, result)
    agreement |= {
        "quality": compare_quality(result.metric, (stored, *depth), (record, *depth)),
        "quality_at_points": {
            name: compare_quality(
                result.metric, (stored, before.criterion(), before.threshold), (record, *criteria[name])
            )
            for name, before in result.recommended.items()
            if before.exit is not None and name in criteria
        },
    }
    full_depth = describe_point(record, *depth, report)
    return Measurement(record, report, points, full_depth, agreement)


def package_record(session: AdaptiveSession, data: TextDataModule, stored: ExitRecord) -> ExitRecord:
    """Return the record of a run with the logits that a package computes for the same rows."""
    rows = data.validation_rows(data.info.validation_splits[0])
    place_of = {index: place for place, index in enumerate(rows.columns["index"].tolist())}
    wanted = [place_of.get(index, -1) for index in stored.index_B.tolist()]
    if -1 in wanted:
        raise UserError(
            f"the {len(wanted)} validation rows that the run was measured on",
            f"{len(rows)} rows",
            "Restore the data of the run (data.root in its config.yaml), or validate the run again.",
        )
    logits, gates, cosines = [], [], []
    for start in range(0, len(wanted), 256):
        batch = rows.__getitems__(wanted[start : start + 256])
        inputs: Mapping[str, object] = {name: values.numpy() for name, values in model_inputs(batch).items()}
        table = session.exit_logits(inputs)
        assert table.logits_ENC is not None
        logits.append(torch.from_numpy(table.logits_ENC))
        if table.gates_EN is not None:
            gates.append(torch.from_numpy(table.gates_EN))
        if table.cosines_ENC is not None:
            cosines.append(torch.from_numpy(table.cosines_ENC))
    return replace(
        stored,
        logits_EBC=torch.cat(logits, dim=1),
        gates_EB=torch.cat(gates, dim=1) if gates else None,
        cosines_EBC=torch.cat(cosines, dim=1) if cosines else None,
    )


def check_servable(points: Mapping[str, RecommendedPoint]) -> None:
    """Raise `UserError` unless the criterion of every operating point has an ONNX form."""
    for name, point in points.items():
        if point.exit is None:
            continue
        criterion = point.criterion()
        inner = criterion
        while isinstance(inner, Calibrated | Ensembled):
            inner = inner.criterion
        if to_config(inner)["name"] not in BUILT_IN:
            raise UserError(
                f"exit criteria with an ONNX form ({', '.join(BUILT_IN)})",
                f"{inner.name!r} at the operating point {name}",
                "Validate the run again with exit_sweep.criteria set to some of them, or export without --format onnx.",
            )


def _criteria(report: SweepReport, result: SweepReport) -> dict[str, tuple[Criterion, float]]:
    """Return criterion and threshold of the points that budgets select on the package's logits, and of others."""
    criteria: dict[str, tuple[Criterion, float]] = {}
    for name, point in result.recommended.items():
        if name in report.recommended:
            selected = report.recommended[name]
            criteria[name] = (selected.criterion(), selected.threshold)
        elif budget_named(name) is None and point.exit is not None:
            criteria[name] = (point.criterion(), point.threshold)
    return criteria


def describe_point(record: ExitRecord, criterion: Criterion, threshold: float, report: SweepReport) -> dict[str, Any]:
    """Return an operating point as a manifest stores it, measured on the logits of a package.

    Args:
        record: Record with the logits of the package.
        criterion: Exit criterion.
        threshold: Threshold of the criterion.
        report: Sweep over the record, for the metric and the temperatures.
    """
    exit_B = record.leaving(criterion, threshold)
    logits_EBC = criterion.answers(record.logits_EBC)
    answers_B = predictions(logits_EBC).gather(0, exit_B[None])[0]
    members_B, costs = ~record.selection_B, record.costs
    shares_E = _shares(exit_B[members_B], len(costs.layers_E))
    value = quality(report.metric, answers_B[members_B], record.labels_B[members_B])
    mean_layer = costs.mean_layer(shares_E)
    static = criterion.name == Static.name
    temperatures_E = temperatures_of(criterion, report.temperatures_E)
    logits_BC = logits_EBC[exit_B, torch.arange(len(exit_B))]
    return {
        "criterion": to_config(criterion),
        "threshold": threshold,
        "temperatures": temperatures_E,
        "measured": {
            "quality": value,
            "drop_points": 100 * (report.full_depth[report.metric] - value),
            "mean_exit_layer": mean_layer,
            "layer_speedup": costs.depth / mean_layer,
            "flops_speedup": costs.full_flops / costs.mean_flops(shares_E, static=static),
        },
        "validation": {
            "samples": len(exit_B),
            "exit_shares": _shares(exit_B, len(costs.layers_E)),
            "confidence_counts": _confidence_counts(exit_probabilities(logits_BC, exit_B, temperatures_E)),
        },
    }


def _shares(exit_B: Tensor, num_exits: int) -> tuple[float, ...]:
    """Return the share of the samples that leave at each exit."""
    return tuple((exit_B.bincount(minlength=num_exits).double() / len(exit_B)).tolist())


def _confidence_counts(probabilities_BC: Tensor) -> list[int] | None:
    """Return the number of samples by confidence, in `BINS` bins of equal width; None for a regression."""
    if probabilities_BC.shape[1] < 2:
        return None
    bin_B = (probabilities_BC.amax(dim=1) * BINS).long().clamp(0, BINS - 1)
    counts: list[int] = bin_B.bincount(minlength=BINS).tolist()
    return counts
