"""Measures of trials: values on both splits, and resamples, against scikit-learn on the drawn samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from study_folders import LAYERS, SELECTION, exit_record, write_trial

from acl_lightning.exits import CurvePoint, area_under_curve
from acl_lightning.exits.evaluation.intervals.bootstrap import draw_indices
from acl_lightning.outputs import predictions
from acl_lightning.studies.comparison.measures import (
    known_measure,
    measure_curves,
    resampled_area,
    selection_value,
)
from acl_lightning.studies.curves.stored_curves import read_curve
from acl_lightning.studies.reading import read_run

NAMES = ["last_exit", *(f"exit_{layer}" for layer in LAYERS), "mean_exits", "area", "speed2", "flops2"]

#: Metric -> its value by an independent implementation.
REFERENCES = {
    "accuracy": sklearn.metrics.accuracy_score,
    "f1": sklearn.metrics.f1_score,
    "matthews": sklearn.metrics.matthews_corrcoef,
    "pearson": lambda labels, answers: pearsonr(labels, answers).statistic,
    "spearman": lambda labels, answers: spearmanr(labels, answers).statistic,
}


def curve_of(directory: Path, record, criterion="entropy", **settings):
    return read_curve(read_run(write_trial(directory, record, seed=0, **settings)), criterion)


@pytest.fixture(scope="module")
def record():
    return exit_record(1.0, 3)


@pytest.fixture(scope="module")
def curve(tmp_path_factory, record):
    return curve_of(tmp_path_factory.mktemp("trial") / "run", record)


def test_values_are_those_of_the_curve(curve, record):
    (measured,) = measure_curves([curve], NAMES, resamples=2)
    labels, answers_EB = record.labels_B.numpy(), predictions(record.logits_EBC).numpy()
    of_exit = [np.mean(answers_B[SELECTION:] == labels[SELECTION:]) for answers_B in answers_EB]
    assert [measured[f"exit_{layer}"].report for layer in LAYERS] == pytest.approx(of_exit)
    assert measured["last_exit"].report == pytest.approx(of_exit[-1])
    assert measured["mean_exits"].report == pytest.approx(np.mean(of_exit))
    assert measured["area"].report == pytest.approx(curve.area, abs=1e-6)
    on_selection = [np.mean(answers_B[:SELECTION] == labels[:SELECTION]) for answers_B in answers_EB]
    assert measured["mean_exits"].selection == pytest.approx(np.mean(on_selection), abs=1e-6)
    assert selection_value(curve, "exit_2") == pytest.approx(on_selection[1], abs=1e-6)


def test_exits_of_an_ensemble_answer_by_the_mean_of_the_exits_before(tmp_path, record):
    noise_EBC = torch.randn(record.logits_EBC.shape, generator=torch.Generator().manual_seed(1))
    independent = replace(record, logits_EBC=noise_EBC + torch.nn.functional.one_hot(record.labels_B, 2))
    curve = curve_of(tmp_path / "run", independent, "ensemble_entropy")
    (measured,) = measure_curves([curve], NAMES, resamples=2)
    logits_EBC = independent.logits_EBC.double().numpy()
    correct = [
        np.mean(
            (np.tensordot(weights, logits_EBC[: len(weights)], 1).argmax(-1) == record.labels_B.numpy())[SELECTION:]
        )
        for weights in curve.criterion.weights_EE
    ]
    assert [measured[f"exit_{layer}"].report for layer in LAYERS] == pytest.approx(correct)
    assert measured["last_exit"].report == pytest.approx(correct[-1])
    assert measured["mean_exits"].report == pytest.approx(np.mean(correct))
    alone = (logits_EBC.argmax(-1) == record.labels_B.numpy())[:, SELECTION:].mean(axis=1)
    assert correct[-1] > alone[-1] + 0.05


def test_the_point_at_twice_the_speed_is_selected_on_the_selection_split(curve):
    (measured,) = measure_curves([curve], ["speed2", "flops2"], resamples=2)
    for name, speed in (("speed2", "layer_speedup_selection"), ("flops2", "flops_speedup_selection")):
        fast = [point for point in (*curve.static, *curve.points) if getattr(point, speed) >= 2]
        best = max(point.quality_selection for point in fast)
        assert measured[name].selection == best
        assert measured[name].report in [
            pytest.approx(point.quality, abs=1e-6) for point in fast if point.quality_selection == best
        ]


@pytest.mark.parametrize("metric", REFERENCES)
def test_resamples_are_those_of_the_drawn_samples(metric, tmp_path, record):
    criterion = "entropy"
    if metric in {"pearson", "spearman"}:
        criterion = "patience"
        values_EB1 = record.logits_EBC[..., 1:] * 2
        labels_B = record.labels_B + 0.1 * torch.arange(len(record.labels_B)).sin()
        record = type(record)(**{**vars(record), "logits_EBC": values_EB1, "labels_B": labels_B})
    curve = curve_of(tmp_path / "run", record, criterion, metric=metric)
    (measured,) = measure_curves([curve], ["last_exit", "mean_exits"], resamples=3, seed=5)
    answers_EB, labels_B = predictions(curve.record.logits_EBC).double().numpy(), curve.record.labels_B.double().numpy()
    for number, drawn_B in enumerate(draw_indices(len(labels_B), 3, 5).numpy()):
        of_exit = [REFERENCES[metric](labels_B[drawn_B], answers_B[drawn_B]) for answers_B in answers_EB]
        assert measured["last_exit"].resampled_R[number] == pytest.approx(of_exit[-1], abs=1e-9)
        assert measured["mean_exits"].resampled_R[number] == pytest.approx(np.mean(of_exit), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 6), st.floats(-0.5, 1)), min_size=1, max_size=6))
def test_the_resampled_area_is_the_area_under_the_curve(points):
    speeds, qualities = (torch.tensor([column], dtype=torch.float64) for column in zip(*points, strict=True))
    curve = [
        CurvePoint(quality=quality, mean_exit_layer=1.0, layer_speedup=speed, flops_speedup=1.0)
        for speed, quality in points
    ]
    assert float(resampled_area(qualities, speeds)) == pytest.approx(area_under_curve(curve), abs=1e-12)


def test_trials_with_other_samples_share_the_draws_of_common_samples(tmp_path, record):
    first = curve_of(tmp_path / "first", record)
    kept_B = torch.arange(len(record.labels_B)) % 5 > 0
    part = type(record)(
        record.logits_EBC[:, kept_B], *(getattr(record, name)[kept_B] for name in
        ("labels_B", "index_B", "selection_B", "num_tokens_B")), record.costs,
    )  # fmt: skip
    second = curve_of(tmp_path / "second", part)
    whole, smaller = measure_curves([first, second], ["last_exit"], resamples=4)
    drawn_RB = draw_indices(len(first.record.labels_B), 4)
    correct_B = (predictions(first.record.logits_EBC)[-1] == first.record.labels_B).double()
    in_part_B = torch.isin(first.record.index_B, second.record.index_B)
    assert whole["last_exit"].resampled_R == pytest.approx(correct_B[drawn_RB].mean(dim=1).numpy())
    expected = [correct_B[drawn_B[in_part_B[drawn_B]]].mean().item() for drawn_B in drawn_RB]
    assert smaller["last_exit"].resampled_R == pytest.approx(expected)


def test_measures_that_do_not_apply_are_left_out(tmp_path):
    curve = curve_of(tmp_path / "run", exit_record(1.0, 0, (4,)))
    (measured,) = measure_curves([curve], NAMES, resamples=2)
    assert set(measured) == {"last_exit", "exit_4"}
    assert selection_value(curve, "area") is None


@pytest.mark.parametrize(
    ("name", "known"),
    [("speed1.5", True), ("flops3", True), ("exit_12", True), ("speed0.5", False), ("exit", False), ("exits", False)],
)
def test_names_of_measures(name, known):
    assert known_measure(name) == known
