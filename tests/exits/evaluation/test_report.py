"""A report from a record alone, its JSON form, and the results of earlier versions."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Baseline,
    Confidence,
    ExitCosts,
    ExitRecord,
    LatencyTable,
    LearntGate,
    MinSpeedup,
    SweepReport,
    evaluate,
    full_depth,
    recommend,
)
from acl_lightning.exits.evaluation.operating_point import table_rows
from acl_lightning.exits.evaluation.report import point_from_json, point_to_json
from acl_lightning.runs import read_result

FORMATS = Path(__file__).parents[2] / "formats"
SAMPLES, LAYERS = 120, (1, 2, 4)


def record(classes: int = 3, *, gates: bool = False, difficulty: bool = True) -> ExitRecord:
    """Deeper exits are correct more often."""
    generator = torch.Generator().manual_seed(0)
    labels_B = torch.arange(SAMPLES) % max(classes, 2)
    noise_EBC = torch.randn(len(LAYERS), SAMPLES, classes, generator=generator)
    signal_E11 = torch.tensor([0.5, 1.0, 2.0])[:, None, None]
    if classes == 1:
        labels_B = labels_B.float() + torch.rand(SAMPLES, generator=generator)
        logits_EBC = labels_B[None, :, None] + noise_EBC / signal_E11 / 4
    else:
        logits_EBC = noise_EBC + signal_E11 * torch.nn.functional.one_hot(labels_B, classes)
    return ExitRecord(
        logits_EBC,
        labels_B,
        torch.arange(SAMPLES),
        torch.arange(SAMPLES) // 4 % 2 == 0,
        torch.full((SAMPLES,), 9),
        ExitCosts(LAYERS, 4, (10.0, 21.0, 42.0), 40.0, (10.0, 20.0, 40.0)),
        torch.randn(len(LAYERS), SAMPLES, generator=generator) if gates else None,
        torch.arange(SAMPLES) % 3 if difficulty else None,
    )


def test_a_record_is_all_that_a_report_needs():
    report = evaluate(record())
    assert (report.metric, report.exit_layers, report.depth, report.num_classes) == ("accuracy", LAYERS, 4, 3)
    assert (report.samples.selection, report.samples.report) == (60, 60)
    assert list(report.recommended) == ["drop0", "drop1", "drop2"]
    assert report.highlighted == "drop1"
    assert report.points[2] == full_depth(report.points)
    assert report.full_depth["accuracy"] == report.points[2].quality
    for name, point in recommend(report.points).items():
        described = report.recommended[name]
        assert described.criterion().settings == point.criterion.settings
        assert (described.threshold, described.quality, described.shares) == (
            point.threshold,
            point.quality,
            point.shares_E,
        )
    header, rows = table_rows(report.points, report.exit_layers)
    assert {len(row) for row in rows} == {len(header)}


def test_samples_of_the_highlighted_point_are_counted_as_the_sweep_counts_them():
    report = evaluate(record())
    point = report.recommended[report.highlighted]
    sizes = report.group_counts["class"]
    by_class = report.exit_histogram["class"]
    for exit_, share in enumerate(point.shares):
        counted = sum(by_class[group][exit_] * size for group, size in sizes.items())
        assert counted / report.samples.report == pytest.approx(share)
    layers = report.difficulty.mean_exit_layer
    assert list(layers) == [0, 1, 2]
    sizes = report.group_counts["difficulty"]
    mean = sum(layers[grade] * sizes[str(grade)] for grade in layers) / report.samples.report
    assert mean == pytest.approx(point.mean_exit_layer)


@pytest.mark.parametrize(
    "report",
    [
        evaluate(record(), metric=("accuracy", "matthews"), label_names=("a", "b", "c")),
        evaluate(record(2, gates=True), metric="f1", calibrate=True, cross_fitted=True),
        evaluate(record(1, difficulty=False), metric=["pearson", "spearman"], cross_fitted=True),
        evaluate(record(), [Confidence()], [MinSpeedup(2), MinSpeedup(3.9)]),
        evaluate(record(), [Confidence()], [MinSpeedup(50)]),
    ],
    ids=["classes", "calibrated", "regression", "budgets", "unreachable"],
)
def test_json_keeps_everything_but_the_points(report):
    stored = report.to_json()
    again = SweepReport.from_json(json.loads(json.dumps(stored, allow_nan=False)))
    assert again == report
    assert again.points == ()
    assert again.to_json() == stored
    assert {"metric", "per_exit", "full_depth", "recommended", "baseline", "area_under_curve"} <= set(stored)


def test_an_undefined_quality_is_stored_as_null():
    report = evaluate(record())
    point = replace(report.recommended["drop0"], quality=math.nan)
    stored = replace(report, recommended={"drop0": point}).to_json()
    assert stored["recommended"]["drop0"]["quality"] is None
    assert math.isnan(SweepReport.from_json(stored).recommended["drop0"].quality)


def test_no_budget_kept_leaves_no_point_and_the_rest():
    report = evaluate(record(), [Confidence()], [MinSpeedup(50)])
    assert (dict(report.recommended), report.highlighted, report.unreachable) == ({}, None, ("speed50",))
    assert isinstance(report.baseline, Baseline)
    assert report.exit_histogram == {}


def test_measured_times_are_stated_per_point(tmp_path):
    table = tmp_path / "exit_latency.csv"
    table.write_text("exit_layer,milliseconds,static_milliseconds,plain_milliseconds\n1,2,2,9\n2,5,3,9\n4,9,6,9\n")
    report = evaluate(record(), [Confidence()], [MinSpeedup(1.5)], times=LatencyTable.read(str(table)))
    (point,) = report.recommended.values()
    times = (2, 3, 6) if point.criterion_name == "static" else (2, 5, 9)
    assert point.milliseconds == pytest.approx(
        sum(share * time for share, time in zip(point.shares, times, strict=True))
    )
    assert point.measured_speedup == pytest.approx(9 / point.milliseconds)
    assert point_from_json(point_to_json(point)) == point


def test_a_result_of_the_first_version_is_a_report():
    stored = json.loads((FORMATS / "v0_1" / "run" / "result.json").read_text())
    report = SweepReport.from_json(stored)
    assert list(report.recommended) == ["drop0", "drop1", "drop2"]
    assert report.highlighted == "drop1"
    point = report.recommended["drop0"]
    assert (point.drop_points, point.quality) == (stored["recommended"]["loss0"]["loss_points"], 0.735)
    assert point.criterion().name == "calibrated_entropy"
    assert (point.better_than_baseline, report.baseline, report.num_classes) == (None, None, None)
    assert report.temperatures_E == tuple(row["temperature"] for row in stored["calibration"])
    assert SweepReport.from_json(read_result(FORMATS / "v0_1" / "run").report) == report


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"recommended": {"drop0": {"criterion": "static"}}}, "found no entry 'threshold'"),
        ({"recommended": 3}, "found AttributeError"),
        ({"per_exit": [{"layer": 1}]}, "found no entry 'accuracy'"),
        ({"samples": {"report": 3}}, "found TypeError"),
    ],
)
def test_a_damaged_result_is_refused_in_one_line(damage, message):
    stored = evaluate(record(), [Confidence()]).to_json()
    with pytest.raises(UserError, match=r"the results of an exit sweep in result\.json") as caught:
        SweepReport.from_json({**stored, **damage})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="found no entry 'metric'"):
        SweepReport.from_json({"status": "finished"})


def test_what_cannot_be_evaluated_says_why():
    with pytest.raises(UserError, match="metrics among accuracy, f1"):
        evaluate(record(), metric="bleu")
    with pytest.raises(UserError, match="a model with a learnt gate; found one without"):
        evaluate(record(), [LearntGate()])
    with pytest.raises(UserError, match="classes to calibrate; found a regression"):
        evaluate(record(1), metric="pearson", calibrate=True)


@pytest.mark.parametrize(
    ("code", "strangers"),
    [
        ("from acl_lightning.exits import SweepReport, RecommendedPoint, CurvePoint, OperatingPoint", {"torch"}),
        ("import acl_lightning.exits.evaluation.report, acl_lightning.exits.criteria", {"torch"}),
        ("from acl_lightning.exits import MaxDrop, MinSpeedup, LatencyTable, recommend", {"torch"}),
        ("from acl_lightning.exits import evaluate, ExitRecord", {"lightning", "transformers", "matplotlib"}),
    ],
)
def test_importing_stays_light(code, strangers):
    check = f"{code}\nimport sys\nassert not {strangers} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
