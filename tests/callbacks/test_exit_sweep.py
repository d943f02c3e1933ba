"""The sweep driven by a real Trainer on the CPU, and its gathering over processes by parts."""

from __future__ import annotations

import csv
import json
import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
import torch
from fake_module import EXITS, QUIET_TRAINER, SAMPLES, FakeModule, Rows, loader, trainer_for
from finished_runs import undrawn_figures
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.callbacks.sweep_figures import groups_figure, united
from acl_lightning.callbacks.validation_record import columns_of
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    PCEE,
    Baseline,
    Confidence,
    ExitRecord,
    LearntGate,
    MaxDrop,
    MaxLatency,
    MinMeasuredSpeedup,
    Patience,
    Static,
    from_config,
)
from acl_lightning.exits.criteria.consecutive import fpabee, pcee
from acl_lightning.training.sample_columns import SAMPLE_DIMENSION, distinct, gathered, joined

pytestmark = QUIET_TRAINER


@pytest.fixture(autouse=True)
def undrawn():
    """Draw no figures, except those of `swept`, whose validation comes before this fixture."""
    with undrawn_figures():
        yield


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """One validation: the run directory, the callback, the module."""
    directory = tmp_path_factory.mktemp("run")
    callback, module = ExitSweep(), FakeModule()
    trainer_for(directory, callback).validate(module, loader(), verbose=False)
    return directory, callback, module


def rows_of(directory):
    return list(csv.DictReader((directory / "exit_sweep.csv").read_text().splitlines()))


def test_the_csv_holds_a_row_per_criterion_and_threshold(swept):
    directory, _, _ = swept
    rows = rows_of(directory)
    assert list(rows[0]) == [
        *("criterion", "threshold", "settings", "quality", "quality_selection", "mean_exit_layer", "layer_speedup"),
        *("layer_saving", "flops_speedup", "share_exit_1", "share_exit_2", "share_exit_4", "share_exit_6"),
    ]
    names = ("static", "confidence", "entropy", "margin", "patience", "pcee", "fpabee")
    assert list(dict.fromkeys(row["criterion"] for row in rows)) == list(names)
    count = {name: sum(row["criterion"] == name for row in rows) for name in names}
    assert (count["static"], count["patience"], count["confidence"]) == (EXITS, EXITS - 1, 97)
    assert (count["pcee"], count["fpabee"]) == (len(pcee.BOUNDS) * EXITS, len(fpabee.BOUNDS) * (EXITS - 1))
    assert {row["settings"] for row in rows if row["criterion"] == "pcee"} == {f"bound={one:g}" for one in pcee.BOUNDS}
    assert {row["settings"] for row in rows if row["criterion"] in ("static", "confidence", "patience")} == {""}
    assert rows[0] | {"threshold": "1.0", "quality": "0.25", "mean_exit_layer": "1.0"} == rows[0]


def test_figures_are_readable_files(swept):
    directory, _, _ = swept
    for name in ("speed_quality.png", "per_exit.png"):
        assert (directory / name).read_bytes().startswith(b"\x89PNG")
    assert ET.parse(directory / "speed_quality.svg").getroot().tag.endswith("svg")
    names = {path.name for path in directory.iterdir()}
    assert names == {
        *("exit_sweep.csv", "exit_logits.npz", "speed_quality.png", "speed_quality.svg", "per_exit.png"),
        *("exit_histogram.png", "reliability.png"),
    }


def test_a_sweep_without_figures_leaves_its_tables(tmp_path, swept):
    trainer_for(tmp_path, ExitSweep(figures=False)).validate(FakeModule(), loader(), verbose=False)
    assert {path.name for path in tmp_path.iterdir()} == {"exit_sweep.csv", "exit_logits.npz"}
    assert rows_of(tmp_path) == rows_of(swept[0])


def test_the_summary_is_what_the_samples_were_built_to_give(swept):
    _, callback, module = swept
    summary = callback.report.to_json()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["samples"] == {"selection": 24, "report": 16, "selection_from": "validation"}
    assert summary["mean_num_tokens"] == pytest.approx(10 + sum(row % 3 for row in range(SAMPLES)) / SAMPLES)
    assert module.asked_tokens == {11}
    # Grade g is answered rightly from exit g on: a quarter more of the samples at each exit.
    assert [row["layer"] for row in summary["per_exit"]] == [1, 2, 4, 6]
    assert [row["accuracy"] for row in summary["per_exit"]] == [0.25, 0.5, 0.75, 1.0]
    assert [row["f1"] for row in summary["per_exit"]] == [0.25, 0.5, 0.75, 1.0]
    assert summary["full_depth"] == {"accuracy": 1.0, "f1": 1.0}
    point = summary["recommended"]["drop0"]
    assert point["criterion"] == "confidence"
    assert point["quality"] == 1.0
    assert point["loss_points"] == 0.0
    assert point["shares"] == [0.25] * 4
    assert point["mean_exit_layer"] == 3.25
    assert point["layer_speedup"] == pytest.approx(6 / 3.25)
    assert point["flops_speedup"] == pytest.approx(540 / 325)
    assert point["leaves_early"] is True
    assert list(summary["recommended"]) == ["drop0", "drop1", "drop2"]
    assert summary["highlighted"] == "drop1"


def test_the_summary_has_the_majority_class_and_the_size_of_every_group(swept):
    _, callback, _ = swept
    # Rows 0 to 3, 8 to 11, ... are of class 0; the report split has the rows 8 to 15, 24 to 31.
    assert callback.report.to_json()["group_counts"] == {
        "class": {"0": 8, "1": 8},
        "difficulty": {"0": 4, "1": 4, "2": 4, "3": 4},
    }
    assert callback.report.baseline == Baseline(0, True, 0.5, (1, 2, 4))
    assert callback.report.to_json()["label_names"] == []


def test_criteria_that_agree_for_two_classes_are_drawn_as_one_curve():
    curves = {"entropy": [(2.0, 0.8), (1.0, 0.9)], "margin": [(3.0, 0.7)], "pcee": [(2.0, 0.7)]}
    assert united(curves) == {
        "entropy": [(3.0, 0.7), (2.0, 0.8), (1.0, 0.9)],
        "margin": [(3.0, 0.7), (2.0, 0.8), (1.0, 0.9)],
        "pcee": [(2.0, 0.7)],
    }


def test_figures_name_the_classes(swept):
    _, callback, _ = swept
    report = replace(callback.report, label_names=("negative", "positive"))
    classes, _ = groups_figure(report, "drop1", "title").axes
    assert [tick.get_text() for tick in classes.get_yticklabels()] == ["negative (n = 8)", "positive (n = 8)"]


def test_difficulty_is_followed_where_it_is_known(swept, tmp_path):
    _, callback, _ = swept
    assert callback.report.to_json()["difficulty"]["mean_exit_layer"] == {"0": 1.0, "1": 2.0, "2": 4.0, "3": 6.0}
    assert callback.report.to_json()["difficulty"]["spearman"] == pytest.approx(1.0)
    unknown = ExitSweep()
    trainer_for(tmp_path, unknown).validate(FakeModule(), loader(without=("difficulty",)), verbose=False)
    assert unknown.report.to_json()["difficulty"] is None


def test_a_regression_is_swept_with_the_criteria_that_can(tmp_path):
    callback = ExitSweep([Confidence(), Patience(delta=0.3)], max_drops=(2, 4))
    trainer_for(tmp_path, callback).validate(FakeModule(("pearson",)), loader(regression=True), verbose=False)
    assert {row["criterion"] for row in rows_of(tmp_path)} == {"static", "patience"}
    assert callback.report.to_json()["full_depth"]["pearson"] == pytest.approx(1.0)
    assert callback.report.highlighted == "drop2"


def test_only_validate_sweeps_and_only_the_first_set(tmp_path):
    callback = ExitSweep()
    trainer_for(tmp_path, callback, log_every_n_steps=1).fit(FakeModule(), loader(), loader())
    assert callback.report is None
    assert not (tmp_path / "exit_sweep.csv").exists()
    other = loader(without=("selection",))
    trainer_for(tmp_path, callback).validate(FakeModule(), [loader(), other], verbose=False)
    assert callback.report.to_json()["samples"]["report"] == 16


def test_a_family_is_recommended_with_the_setting_that_was_measured(tmp_path):
    callback = ExitSweep([PCEE()])
    trainer_for(tmp_path, callback).validate(FakeModule(), loader(), verbose=False)
    point = callback.report.to_json()["recommended"]["drop0"]
    # Sure exits are right here: patience 1 is best, and of the bounds that do not tell the samples apart the first.
    assert (point["criterion"], point["threshold"], point["settings"]) == ("pcee", 1.0, {"bound": 0.01})
    assert point["exit"] == {"name": "pcee", "settings": {"bound": 0.01}}
    assert callback.report.to_json()["difficulty"]["mean_exit_layer"] == {"0": 1.0, "1": 2.0, "2": 4.0, "3": 6.0}


def test_the_learnt_gate_is_swept_where_there_is_one(tmp_path):
    class Gated(FakeModule):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            outputs = super().validation_step(batch, batch_idx, dataloader_idx)
            right_EB = outputs["logits_EBC"].argmax(dim=-1) == batch["labels"]
            return {**outputs, "gates_EB": torch.where(right_EB, 5.0, -5.0)}

    callback = ExitSweep()
    trainer_for(tmp_path, callback).validate(Gated(), loader(), verbose=False)
    area = callback.report.to_json()["area_under_curve"]
    assert area["learnt_gate"] == max(area[name] for name in ("static", "confidence", "patience", "learnt_gate"))
    with pytest.raises(UserError, match=r"a model with a learnt gate; found one without.*learnt_gate\.yaml"):
        trainer_for(tmp_path, ExitSweep([LearntGate()])).validate(FakeModule(), loader(), verbose=False)


def test_thresholds_can_be_given(tmp_path):
    callback = ExitSweep(thresholds={"confidence": [0.5, 0.7], "learnt_gate": [0.5]})
    trainer_for(tmp_path, callback).validate(FakeModule(), loader(), verbose=False)
    assert [row["threshold"] for row in rows_of(tmp_path) if row["criterion"] == "confidence"] == ["0.5", "0.7"]
    with pytest.warns(UserWarning, match="with 4 exits patience counts to 3 at most: at a patience of 4 no sample"):
        trainer_for(tmp_path, ExitSweep([Patience()], thresholds={"patience": [4]})).validate(
            FakeModule(), loader(), verbose=False
        )


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"confidence": []}, "thresholds of confidence; found an empty list"),
        ({"confidence": [0.9, 0.8]}, r"thresholds of confidence that ascend; found \[0\.9, 0\.8\]"),
        ({"confidence": [0.9, 0.9]}, r"thresholds of confidence that ascend; found \[0\.9, 0\.9\]"),
        ({"confidence": [0.5, 1.5]}, "a threshold of confidence between 0 .* and 1 .*; found 1.5"),
        (
            {"pcee": [0.5]},
            "a patience that is a whole number, 1 or more; found 0.5. Set the threshold to 1 or more; with 1, pcee "
            "leaves at exit 1",
        ),
        ({"confidense": [0.5]}, "thresholds of criteria that are swept: confidence, entropy, .*; found 'confidense'"),
    ],
)
def test_thresholds_that_do_not_fit_are_refused(thresholds, message):
    with pytest.raises(UserError, match=message):
        ExitSweep(thresholds=thresholds)


@pytest.mark.parametrize("missing", ["labels", "selection"])
def test_data_that_cannot_be_swept_say_what_is_missing(tmp_path, missing):
    with pytest.raises(UserError, match=f"labels and a selection split for the exit sweep; found no {missing}"):
        trainer_for(tmp_path, ExitSweep()).validate(FakeModule(), loader(without=(missing,)), verbose=False)
    with pytest.raises(UserError, match="found no logits_EBC, labels"):
        columns_of(None)


def test_half_precision_and_saturated_logits_are_swept(tmp_path):
    class Saturated(FakeModule):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            outputs = super().validation_step(batch, batch_idx, dataloader_idx)
            return {**outputs, "logits_EBC": (1e4 * outputs["logits_EBC"]).bfloat16()}

    callback = ExitSweep()
    trainer_for(tmp_path, callback).validate(Saturated(), loader(), verbose=False)
    assert all(math.isfinite(point["quality"]) for point in callback.report.to_json()["recommended"].values())


def batches() -> list[dict[str, torch.Tensor]]:
    columns = Rows().columns
    outputs = {name: values for name, values in columns.items() if name != "logits"}
    whole = columns_of({"logits_EBC": columns["logits"].transpose(0, 1), **outputs})
    rows = torch.arange(SAMPLES).split(8)
    return [
        {name: values.index_select(SAMPLE_DIMENSION.get(name, 0), row_B) for name, values in whole.items()}
        for row_B in rows
    ]


def test_ranks_and_repeated_samples_leave_the_record_of_one_process(monkeypatch):
    parts = batches()
    alone = gathered(joined(parts), world_size=1)
    # Two ranks; the sampler pads the second with the first batch again.
    ranks = [joined(parts[0::2]), joined([*parts[1::2], parts[0]])]

    def all_gather_object(gathered_parts, mine):
        gathered_parts[:] = ranks

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)
    together = gathered(ranks[1], world_size=2)
    assert together.keys() == alone.keys()
    for name, values in alone.items():
        assert torch.equal(together[name], values), name


def test_distinct_keeps_the_first_of_each_index_in_the_order_of_the_split():
    columns = {"index": torch.tensor([7, 2, 7, 5]), "labels": torch.tensor([1, 0, 9, 1])}
    kept = distinct(columns)
    assert kept["index"].tolist() == [2, 5, 7]
    assert kept["labels"].tolist() == [0, 1, 1]


def test_tensorboard_gets_the_figures(tmp_path):
    logger = TensorBoardLogger(tmp_path / "tensorboard")
    trainer_for(tmp_path, ExitSweep(), logger=[logger, CSVLogger(tmp_path / "csv")]).validate(
        FakeModule(), loader(), verbose=False
    )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(logger.log_dir).Reload()
    assert set(events.Tags()["images"]) == {"speed_quality", "per_exit", "exit_histogram", "reliability"}


def test_wandb_gets_the_table_and_the_figures(tmp_path, monkeypatch):
    calls = {}
    monkeypatch.setattr(WandbLogger, "log_table", lambda self, key, columns, data: calls.update({key: (columns, data)}))
    monkeypatch.setattr(WandbLogger, "log_image", lambda self, key, images: calls.update({key: images}))
    monkeypatch.setattr(WandbLogger, "log_metrics", lambda self, metrics, step=None: None)
    monkeypatch.setattr(WandbLogger, "experiment", None)
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    trainer_for(tmp_path, ExitSweep(), logger=logger).validate(FakeModule(), loader(), verbose=False)
    columns, data = calls["exit_sweep"]
    assert columns[:2] == ["criterion", "threshold"]
    assert all(len(row) == len(columns) for row in data)
    assert calls["per_exit"] == [str(tmp_path / "per_exit.png")]


def test_settings_are_checked():
    with pytest.raises(UserError, match="different names; found confidence, confidence"):
        ExitSweep([Confidence(), Confidence()])
    with pytest.raises(UserError, match=r"max_drops of 0 points or more; found \[-1\]"):
        ExitSweep(max_drops=(-1,))
    with pytest.raises(UserError, match=r"max_drops of 0 points or more; found \[\]"):
        ExitSweep(max_drops=())


def test_the_stored_logits_are_what_the_exits_said(swept):
    directory, callback, _ = swept
    record = ExitRecord.load(directory / "exit_logits.npz")
    columns = Rows().columns
    assert torch.equal(record.logits_EBC, columns["logits"].transpose(0, 1))
    assert torch.equal(record.labels_B, columns["labels"])
    assert torch.equal(record.difficulty_B, columns["difficulty"])
    assert (record.costs.layers_E, record.costs.full_flops) == ((1, 2, 4, 6), 540.0)
    point = callback.report.to_json()["recommended"]["drop0"]
    exits_B = record.split(selection=False).leaving(from_config(point["exit"]), point["threshold"])
    shares = (exits_B.bincount(minlength=EXITS) / len(exits_B)).tolist()
    assert shares == pytest.approx(point["shares"])


def test_numbers_come_with_intervals_calibration_and_histograms(swept):
    _, callback, _ = swept
    point = callback.report.to_json()["recommended"]["drop0"]
    assert point["intervals"]["loss_points"] == [0.0, 0.0]  # right wherever it leaves, as full depth is
    low, high = point["intervals"]["layer_speedup"]
    assert low < point["layer_speedup"] < high
    assert callback.report.to_json()["exit_histogram"]["difficulty"]["3"] == [0.0, 0.0, 0.0, 1.0]
    assert sum(callback.report.to_json()["exit_histogram"]["class"]["0"]) == pytest.approx(1.0)
    deepest = callback.report.to_json()["calibration"][-1]
    assert deepest["error_calibrated"] <= deepest["error"]  # always right: the sharper, the better calibrated
    assert callback.report.to_json()["unreachable"] == []


def test_budgets_of_speed_cross_fitting_and_calibration(tmp_path):
    callback = ExitSweep([Confidence()], min_speedups=(2, 7), calibrate=True, cross_fit=True)
    trainer_for(tmp_path, callback).validate(FakeModule(), loader(), verbose=False)
    summary = callback.report.to_json()
    assert json.loads(json.dumps(summary, allow_nan=False)).keys() == summary.keys()
    assert summary["recommended"]["speed2"]["layer_speedup"] >= 2
    assert summary["unreachable"] == ["speed7"]
    assert {row["criterion"] for row in rows_of(tmp_path)} == {"static", "calibrated_confidence"}
    point = summary["recommended"]["drop0"]
    criterion = from_config(point["exit"])
    assert list(criterion.temperatures_E) == [row["temperature"] for row in summary["calibration"]]
    assert set(summary["cross_fitted"]) == {"drop0", "drop1", "drop2", "speed2"}
    assert summary["cross_fitted"]["drop0"]["quality"] == 1.0


def test_static_exits_are_swept_once_and_have_nothing_to_calibrate(tmp_path):
    callback = ExitSweep([Static(), Confidence()], calibrate=True)
    trainer_for(tmp_path, callback).validate(FakeModule(), loader(), verbose=False)
    assert {row["criterion"] for row in rows_of(tmp_path)} == {"static", "calibrated_confidence"}


def test_the_area_of_a_family_is_that_of_its_front_on_the_selection_split(tmp_path):
    class Lucky(FakeModule):
        """Exit 1 is always wrong, exit 2 in the selection split only, the others never; ever surer."""

        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            outputs = super().validation_step(batch, batch_idx, dataloader_idx)
            right_BC = torch.nn.functional.one_hot(batch["labels"], outputs["logits_EBC"].shape[-1]).float()
            sign_B1 = torch.where(batch["selection"].bool(), -1.0, 1.0)[:, None]
            exits = [-0.3 * right_BC, 2 * sign_B1 * right_BC, 9 * right_BC, 9 * right_BC]
            return {**outputs, "logits_EBC": torch.stack(exits)}

    callback = ExitSweep([PCEE()])
    trainer_for(tmp_path, callback).validate(Lucky(), loader(), verbose=False)
    assert callback.report.to_json()["per_exit"][1]["accuracy"] == 1.0
    # On the selection split exit 2 (layer 2 of 6) is always wrong, so its luck does not count. Exit 3 (layer
    # 4 of 6) is right up to 1.5 times, and what is faster is always wrong.
    assert callback.report.to_json()["area_under_curve"]["pcee"] == pytest.approx((1.5 - 1) / (3 - 1))


def test_a_regression_is_not_trained_before_its_calibration_is_refused(tmp_path):
    module = FakeModule(("pearson",))
    module.label_names = []
    trainer = trainer_for(tmp_path, ExitSweep(calibrate=True), log_every_n_steps=1)
    with pytest.raises(UserError, match=r"classes to calibrate; found a regression\. Set exit_sweep\.calibrate=false"):
        trainer.fit(module, loader(regression=True), loader(regression=True))
    assert trainer.global_step == 0


def refused_before_training(callback, module, tmp_path, message):
    trainer = trainer_for(tmp_path, callback, log_every_n_steps=1)
    with pytest.raises(UserError, match=message):
        trainer.fit(module, loader(), loader())
    assert trainer.global_step == 0


@pytest.mark.parametrize("budget", [MaxLatency, MinMeasuredSpeedup, MaxDrop])
def test_a_table_of_other_exits_is_refused_before_training(budget, tmp_path):
    table = tmp_path / "exit_latency.csv"
    table.write_text("exit_layer,milliseconds,plain_milliseconds\n1,2,9\n2,3,9\n")
    refused_before_training(
        ExitSweep(budgets=[budget(5, table=str(table), name="own")]),
        FakeModule(),
        tmp_path,
        r"times of the exits after layers 1, 2, 4, 6 in .*exit_latency\.csv; found layers 1, 2\. Measure this model",
    )


def test_a_gate_that_the_model_lacks_is_refused_before_training(tmp_path):
    module = FakeModule()
    module.encoder = torch.nn.Module()
    module.encoder.gate = None
    refused_before_training(ExitSweep([Confidence(), LearntGate()]), module, tmp_path, "a model with a learnt gate")
    trainer_for(tmp_path, ExitSweep(), log_every_n_steps=1).fit(module, loader(), loader())  # by default: left out


def test_budgets_need_names_of_their_own():
    with pytest.raises(UserError, match="budgets with different names; found drop1, drop1"):
        ExitSweep(max_drops=(1,), budgets=[MaxDrop(1)])
