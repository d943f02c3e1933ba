"""The summary table, rendered into a recording console."""

from __future__ import annotations

import io
import pickle
import re
from dataclasses import replace
from math import nan
from pathlib import Path

import torch
from fake_module import QUIET_TRAINER, FakeModule, loader, trainer_for
from rich.console import Console

from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.callbacks.summary_table import SummaryTable, summary_tables
from acl_lightning.exits import PCEE, Baseline, Confidence, Difficulty, ExitQuality, Interval

pytestmark = QUIET_TRAINER


class Flat(FakeModule):
    """Every exit but the last knows nothing, and no two agree."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        outputs = super().validation_step(batch, batch_idx, dataloader_idx)
        logits_EBC = outputs["logits_EBC"].clone()
        wrong_BC = -logits_EBC[-1]
        logits_EBC[:-1] = 100 * wrong_BC
        return {**outputs, "logits_EBC": logits_EBC}


def printed(directory, module: FakeModule, *callbacks) -> str:
    table = SummaryTable()
    table.console = Console(record=True, width=120, file=io.StringIO())
    trainer_for(directory, *callbacks, table).validate(module, loader(), verbose=False)
    return table.console.export_text()


def cells(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(start))
    return re.split(r"\s{2,}", line.strip())


def test_it_names_the_splits_the_numbers_and_the_files(tmp_path):
    text = printed(tmp_path, FakeModule(), ExitSweep())
    assert "fake: report split of the validation data, n = 16" in text
    assert "selected on the selection split, n = 24" in text
    assert str(tmp_path) in text.replace("\n", "")
    assert cells(text, "4") == ["4", "75.0*", "75.0", "25.0"]  # 12 of 16: chance is possible
    assert cells(text, "full depth") == ["full depth", "100.0"]
    assert cells(text, "drop1")[0:2] == ["drop1", "confidence"]
    assert cells(text, "drop1")[3:] == ["100.0", "0.0", "1.85x", "1.66x"]
    assert "No sample leaves early" not in text


def test_it_says_plainly_that_nothing_leaves_early(tmp_path):
    text = printed(tmp_path, Flat(), ExitSweep())
    assert "No sample leaves early at any recommended point" in text
    assert "none leaves early" in cells(text, "drop2")
    assert "1.00x" not in text


def test_it_says_when_no_threshold_at_all_lets_anybody_leave(tmp_path):
    text = printed(tmp_path, FakeModule(), ExitSweep([Confidence()], thresholds={"confidence": [1.0]}, max_drops=(0,)))
    assert "No sample leaves early at any threshold of any criterion" in text
    assert "exit_sweep.thresholds" in text
    assert "1.00x" not in text


def test_the_setting_of_a_family_stands_beside_its_threshold(tmp_path):
    text = printed(tmp_path, FakeModule(), ExitSweep([PCEE(0.25)]))
    assert cells(text, "drop1")[1:3] == ["pcee", "1"]
    assert re.search(r"drop1 .*\n +bound 0\.25 ", text)


def rendered(report, width: int = 120) -> str:
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(summary_tables(report, "fake", Path("runs/fake")))
    return console.export_text()


class Chance(FakeModule):
    """The exits guess."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        outputs = super().validation_step(batch, batch_idx, dataloader_idx)
        generator = torch.Generator().manual_seed(batch_idx)
        return {**outputs, "logits_EBC": torch.randn(outputs["logits_EBC"].shape, generator=generator)}


def test_a_model_that_guesses_is_called_not_better_than_the_majority_class(tmp_path):
    sweep = ExitSweep()
    text = printed(tmp_path, Chance(), sweep)
    assert "The model is not better than the majority class (50.0 % accuracy)" in text
    assert sweep.report.baseline == Baseline(0, True, 0.5, (1, 2, 4, 6))
    assert not any(point.better_than_baseline for point in sweep.report.recommended.values())
    assert re.search(r"drop0 +\S+ +\S+ +\d+\.\d\*", text)


def test_points_and_exits_that_are_not_better_than_the_majority_class_are_marked(tmp_path):
    sweep = ExitSweep(max_drops=(0, 80))
    text = printed(tmp_path, FakeModule(), sweep)
    points = sweep.report.recommended
    assert (points["drop0"].better_than_baseline, points["drop80"].better_than_baseline) == (True, False)
    assert cells(text, "drop0")[3] == "100.0"
    assert cells(text, "drop80")[3] == "25.0*"
    assert sweep.report.baseline.exits_not_better == (1, 2, 4)
    assert "* not better than the majority class beyond chance" in text
    assert re.search(r"majority +50\.0 *\nclass", text)
    assert "The model is not better" not in text


def test_intervals_of_the_quality_stand_under_it(tmp_path):
    sweep = ExitSweep(max_drops=(0, 80))
    text = printed(tmp_path, FakeModule(), sweep)
    interval = sweep.report.recommended["drop80"].intervals.quality
    assert f"{100 * interval.low:.1f}-{100 * interval.high:.1f}" in text
    assert "100-100" in text


def test_a_point_that_another_beats_on_the_report_split_is_named(tmp_path):
    sweep = ExitSweep()
    printed(tmp_path, FakeModule(), sweep)
    points = sweep.report.recommended
    beaten = replace(points["drop0"], beaten_by=("drop1",))
    text = rendered(replace(sweep.report, recommended={**points, "drop0": beaten}))
    assert "drop0: drop1 did better and faster on the report split, by which no point is selected." in text


def test_it_fits_a_terminal_of_80_columns(tmp_path):
    sweep = ExitSweep()
    printed(tmp_path, FakeModule(), sweep)
    point = sweep.report.recommended["drop0"]
    intervals = replace(point.intervals, quality=Interval(0.9251, 0.9703))
    usual = replace(point, intervals=intervals, quality=0.9551, drop_points=-12.3, better_than_baseline=False)
    bound, wide = {"bound": 0.05}, {"bound": 0.25}
    points = {
        **sweep.report.recommended,
        "drop0.5": replace(usual, criterion_name="learnt_gate", threshold=0.999602),
        "speed2": replace(usual, criterion_name="calibrated_confidence", threshold=0.9),
        "flops1.5": replace(usual, criterion_name="fpabee", threshold=12.0, settings=bound),
        "drop0_calibrated": replace(usual, criterion_name="calibrated_pcee", threshold=3.0, settings=wide),
    }
    text = rendered(replace(sweep.report, recommended=points), width=80)
    assert "…" not in text
    assert text.count("92.5-97.0") == 4


def test_it_travels_to_spawned_processes():
    assert pickle.loads(pickle.dumps(SummaryTable())).console is None


def test_without_a_sweep_nothing_is_printed(tmp_path):
    assert printed(tmp_path, FakeModule()) == ""
    table = SummaryTable()
    table.console = Console(record=True, width=120, file=io.StringIO())
    trainer_for(tmp_path, ExitSweep(), table, log_every_n_steps=1).fit(FakeModule(), loader(), loader())
    assert table.console.export_text() == ""


def test_a_metric_that_is_undefined_is_shown_as_such(tmp_path):
    sweep = ExitSweep()
    printed(tmp_path, FakeModule(), sweep)
    exits = tuple(ExitQuality(exit_.layer, {"accuracy": nan, "f1": nan}) for exit_ in sweep.report.per_exit)
    points = {name: replace(point, quality=nan) for name, point in sweep.report.recommended.items()}
    text = rendered(replace(sweep.report, per_exit=exits, recommended=points))
    assert cells(text, "4")[:3] == ["4", "undefined", "undefined"]
    assert cells(text, "full depth") == ["full depth", "undefined"]


def test_it_prints_whether_harder_samples_go_deeper(tmp_path):
    sweep = ExitSweep()
    printed(tmp_path, FakeModule(), sweep)
    by_grade = {0: 2.08, 1: 2.85}
    for spearman, words in ((0.7593, "0.76"), (None, "undefined, all equal")):
        text = rendered(replace(sweep.report, difficulty=Difficulty(spearman, by_grade)))
        assert f"Rank correlation of exit layer and difficulty at drop1: {words}" in text
        assert "Mean exit layer by difficulty grade: 0: 2.1, 1: 2.9" in text


def test_budgets_that_nothing_keeps_are_named(tmp_path):
    text = printed(tmp_path, FakeModule(), ExitSweep(min_speedups=(2, 50)))
    assert "No operating point keeps speed50 on the selection split." in text
    assert "No operating point keeps" not in printed(tmp_path, FakeModule(), ExitSweep(min_speedups=(2,)))


def test_a_model_with_one_exit_is_not_told_to_train_longer(tmp_path):
    sweep = ExitSweep()
    printed(tmp_path, FakeModule(), sweep)
    points = {
        name: replace(point, shares=(1.0,), leaves_early=False) for name, point in sweep.report.recommended.items()
    }
    alone = replace(
        sweep.report,
        exit_layers=(6,),
        per_exit=sweep.report.per_exit[-1:],
        recommended=points,
        leaves_early=False,
    )
    text = rendered(alone)
    assert "The model has one exit: no sample can leave early." in text
    assert "Train longer" not in text
