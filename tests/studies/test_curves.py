"""`curves`: what is compared with what, the files, the figure, and what is refused."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from fabricated_runs import fabricate
from stored_runs import SAMPLES, stored_run

from acl_lightning.cli import main
from acl_lightning.exits import LearntGate, area_under_curve, default_criteria, elue_score
from acl_lightning.studies.curves.comparison import compare
from acl_lightning.studies.curves.stored_curves import read_curve
from acl_lightning.studies.curves.study import comparison_figure
from acl_lightning.studies.reading import read_run

SPEED = "layer_speedup"


def rows(path):
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


def curve_of(directory, criterion="entropy"):
    return read_curve(read_run(directory), criterion)


def curves(out, *runs, options=()):
    return main(["curves", *map(str, runs), "--out", str(out), *options])


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_seeds_are_one_line_with_a_band_and_cut_models_the_baseline(tmp_path, out, capsys):
    seeds = [stored_run(tmp_path / f"multi{seed}", seed) for seed in (0, 1, 2)]
    cut = [stored_run(tmp_path / f"cut{layer}", 0, (layer,)) for layer in (2, 4, 6)]
    assert curves(out, *seeds, *cut) == 0
    assert {path.name for path in out.iterdir()} == {
        *("curves.png", "curves.csv", "scores.csv", "summary.md", "provenance.json")
    }
    (score,) = rows(out / "scores.csv")
    assert (score["group"], score["n"]) == ("multi-exit", "3")
    assert score["reference"] == "the plain model cut to k layers"
    areas = [curve_of(one).area for one in seeds]
    assert float(score["area_mean"]) == pytest.approx(np.mean(areas))
    assert float(score["area_std"]) == pytest.approx(np.std(areas, ddof=1), rel=1e-5)
    table = rows(out / "curves.csv")
    line = [row for row in table if row["kind"] == "curve"]
    assert (line[0]["speedup"], line[-1]["speedup"]) == ("1", "6")
    for row in line:
        assert float(row["low"]) <= float(row["quality"]) <= float(row["high"])
    assert [(row["layer"], float(row["speedup"])) for row in table if row["kind"] == "cut"] == [
        ("2", 3.0),
        ("4", 1.5),
        ("6", 1.0),
    ]
    assert [row["layer"] for row in table if row["kind"] == "static"] == ["1", "2", "4", "6"]
    assert sum(row["kind"] == "oracle" for row in table) == 4
    text = (out / "summary.md").read_text()
    assert "| multi-exit | 3 |" in text
    assert "Plain model cut to k layers: 2: " in text
    assert "Plain model cut to k layers: 2: " in capsys.readouterr().out
    origin = json.loads((out / "provenance.json").read_text())
    assert origin["command"][:4] == ["python", "-m", "acl_lightning", "curves"]
    assert origin["runs"]["commits"] == {"abc": 6}


def test_scores_are_those_of_the_runs(tmp_path):
    one, cut = stored_run(tmp_path / "one"), stored_run(tmp_path / "cut", 1, (3,))
    curve, baseline = curve_of(one), curve_of(cut)
    (group,) = compare([curve, baseline], "entropy", SPEED).groups
    assert group.area.mean == area_under_curve([*curve.points, curve.static[-1]])
    static = baseline.static[0]
    assert group.elue.mean == pytest.approx(elue_score(curve.points, [static]))
    assert group.full_depth.mean == curve.static[-1].quality


def test_a_single_run_has_a_bootstrap_band_and_says_so(tmp_path, out):
    assert curves(out, stored_run(tmp_path / "one")) == 0
    line = [row for row in rows(out / "curves.csv") if row["kind"] == "curve"]
    widths = [float(row["high"]) - float(row["low"]) for row in line]
    # About 4 standard errors of a proportion over the 80 report samples.
    assert all(0.05 < width < 0.3 for width in widths)
    text = (out / "summary.md").read_text()
    assert "multi-exit: one run; its band is a 95 % bootstrap over samples." in text
    assert "There is no baseline of plain models cut to k layers" in text
    assert "mean difference to the static exits of multi-exit" in text


def test_the_figure_shows_line_band_static_exits_oracle_and_cut_models(tmp_path):
    runs = [stored_run(tmp_path / f"run{seed}", seed) for seed in (0, 1)]
    runs += [stored_run(tmp_path / "other", model__encoder__exit_row="cls"), stored_run(tmp_path / "cut", 0, (2,))]
    comparison = compare([curve_of(run) for run in runs], "entropy", SPEED)
    figure = comparison_figure(comparison)
    (axes,) = figure.axes
    found = {line.get_label(): line for line in axes.get_lines()}
    assert {"exit_row=mean_row (n = 2)", "exit_row=cls (n = 1)", "plain model cut to k layers"} <= set(found)
    assert found["plain model cut to k layers"].get_xydata()[0][0] == 3.0
    assert len(axes.collections) == 2  # both bands: over seeds, and over samples
    assert sum(line.get_linestyle() == ":" for line in axes.get_lines()) == 3  # two oracles and the legend's
    flops = comparison_figure(compare([curve_of(runs[0])], "entropy", "flops_speedup"))
    assert flops.axes[0].get_xlabel().startswith("FLOPs speed-up")


@pytest.mark.parametrize(
    "criterion", [kind.name for kind in default_criteria() if kind.name not in {LearntGate.name, "prototype_margin"}]
)
def test_any_criterion_can_be_asked_for_afterwards(tmp_path, criterion):
    curve = curve_of(stored_run(tmp_path / "run"), criterion)
    assert curve.points
    assert curve.run.points[0].criterion == "static"
    assert len(curve.interval([1.0, 1.5], SPEED)) == 2
    best = max(point.quality for point in curve.oracle)
    assert all(point.quality <= best for point in curve.points)


def test_a_regression_has_no_oracle_and_leaves_by_patience(tmp_path, out, capsys):
    changes = {"metric": "pearson", "metric_names": ["pearson"], "per_exit": [{"layer": 6, "pearson": 0.9}]}
    run = stored_run(tmp_path / "run", classes=1, changes=changes)
    assert curves(out, run, options=("--criterion=patience",)) == 0
    assert not [row for row in rows(out / "curves.csv") if row["kind"] == "oracle"]
    explicit = (out / "curves.csv").read_text()
    assert curves(tmp_path / "default", run) == 0
    assert (tmp_path / "default" / "curves.csv").read_text() == explicit
    capsys.readouterr()
    assert curves(out, run, options=("--criterion=entropy",)) == 2
    assert "expected at least 2 classes for the criterion 'entropy'" in capsys.readouterr().err


def test_nobody_leaving_early_is_said(tmp_path, out):
    # With two exits patience cannot be satisfied before the last.
    assert curves(out, stored_run(tmp_path / "run", 0, (3, 6)), options=("--criterion=patience",)) == 0
    assert "multi-exit: no sample leaves early at any threshold" in (out / "summary.md").read_text()


def test_only_cut_models_are_a_baseline_without_contenders(tmp_path, out):
    assert curves(out, *[stored_run(tmp_path / f"cut{layer}", 0, (layer,)) for layer in (2, 6)]) == 0
    assert {row["kind"] for row in rows(out / "curves.csv")} == {"cut"}


def test_what_a_reader_should_be_wary_of_is_said(tmp_path, out):
    runs = [stored_run(tmp_path / "a"), stored_run(tmp_path / "b")]
    runs += [stored_run(tmp_path / "c", 0, (2,)), stored_run(tmp_path / "d", 0, (4,), model__encoder__exit_row="cls")]
    going_on = tmp_path / "going-on"
    going_on.mkdir()
    assert curves(out, *runs, going_on) == 0
    text = (out / "summary.md").read_text()
    assert "multi-exit: seed 0 occurs more than once." in text
    assert "The cut baseline averages runs of 2 different settings." in text
    assert "No result from going-on (missing): no result.json." in text


def unstored(tmp_path):
    return (fabricate(tmp_path / "run"),), (), "expected stored exit logits at"


def other_task(tmp_path):
    runs = (stored_run(tmp_path / "a"), stored_run(tmp_path / "b", task="rte"))
    return runs, (), "expected runs of one task; found sst2, rte."


def unknown_criterion(tmp_path):
    return (stored_run(tmp_path / "run"),), ("--criterion=luck",), "expected a criterion among "


def none_finished(tmp_path):
    (tmp_path / "run").mkdir()
    return (tmp_path / "run",), (), "expected at least one finished run"


def no_gate(tmp_path):
    return (stored_run(tmp_path / "run"),), ("--criterion=learnt_gate",), "gate"


@pytest.mark.parametrize("mistake", [unstored, other_task, unknown_criterion, none_finished, no_gate])
def test_a_mistake_gets_one_line_code_2_and_nothing_written(mistake, tmp_path, out, capsys):
    runs, options, message = mistake(tmp_path)
    assert curves(out, *runs, options=options) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert message in said.err
    assert (said.err.count("\n"), said.out, out.exists()) == (1, "", False)


def test_curves_from_stored_logits_are_those_of_the_sweep(tmp_path):
    """A run read twice gives the same curve, and its samples are the report half."""
    curve = curve_of(stored_run(tmp_path / "run"))
    again = curve_of(tmp_path / "run")
    assert curve.run.points == again.run.points
    assert len(curve.record.labels_B) == SAMPLES * 2 // 3
    assert torch.equal(curve.record.logits_EBC, again.record.logits_EBC)


def test_real_runs_end_to_end(command, tmp_path, out):
    """Two fits, one of a plain model cut to two layers, one calibrated; `predict` uses the calibrated point."""
    multi, cut = tmp_path / "multi", tmp_path / "cut"
    calibrated = ("--exit_sweep.calibrate=true", "--exit_sweep.min_speedups=[1.5]")
    assert command("fit", f"--run_dir={multi}", *calibrated)[0] == 0
    assert command("fit", f"--run_dir={cut}", "--model.encoder.exits=[2]")[0] == 0
    assert curves(out, multi, cut, options=("--speed=flops",)) == 0
    kinds = {row["kind"] for row in rows(out / "curves.csv")}
    assert kinds == {"curve", "static", "oracle", "cut"}
    best = multi / "checkpoints" / "best.ckpt"
    served = (f"--config={multi / 'config.yaml'}", f"--ckpt_path={best}", "--exit.operating_point=speed1.5")
    code, said = command("predict", *served, f"--run_dir={tmp_path / 'served'}", defaults=False)
    assert code == 0, said
    assert (tmp_path / "served" / "predictions.jsonl").read_text().count("\n") > 0
