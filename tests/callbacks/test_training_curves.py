"""training.png: what is read of a run's logs, also of several parts, and when nothing is drawn."""

from __future__ import annotations

import csv

import pytest
from fake_module import QUIET_TRAINER, FakeModule, loader, trainer_for
from lightning.pytorch.loggers import CSVLogger

from acl_lightning.callbacks import ExitSweep
from acl_lightning.callbacks.run_files.training_curves import TrainingCurves, logged_figure
from acl_lightning.runs.records import read_metrics_log

pytestmark = QUIET_TRAINER


def part(directory, name, rows):
    (directory / name).mkdir()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with (directory / name / "metrics.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)


class LoggingModule(FakeModule):
    """A module that logs its loss at every step."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("train/loss", loss)
        return loss


def test_a_fit_leaves_the_figure_of_what_it_logged(tmp_path):
    logger = CSVLogger(tmp_path, name="", version="logs", flush_logs_every_n_steps=1000)
    trainer = trainer_for(tmp_path, TrainingCurves(), logger=logger, log_every_n_steps=1)
    trainer.fit(LoggingModule(), loader(), loader())
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    assert [step for step, _ in read_metrics_log(tmp_path)["train/loss"]] == [0, 1, 2]


def test_a_run_without_figures_has_none(tmp_path):
    logger = CSVLogger(tmp_path, name="", version="logs")
    trainer = trainer_for(tmp_path, TrainingCurves(), ExitSweep(figures=False), logger=logger, log_every_n_steps=1)
    trainer.fit(LoggingModule(), loader(), loader())
    assert read_metrics_log(tmp_path)
    assert not list(tmp_path.rglob("*.png"))


def test_without_a_logger_nothing_is_written(tmp_path):
    trainer_for(tmp_path, TrainingCurves(), log_every_n_steps=1).fit(LoggingModule(), loader(), loader())
    assert not (tmp_path / "training.png").exists()


def test_parts_of_a_resumed_run_are_joined_in_order_and_repeated_steps_replaced(tmp_path):
    part(tmp_path, "logs", [{"step": 0, "train/loss": 9, "lr-a": 1}, {"step": 1, "train/loss": 8}, {"step": 2, "x": 5}])
    part(tmp_path, "logs-1", [])
    part(tmp_path, "logs-2", [{"step": 2, "train/loss": 6}])
    part(tmp_path, "logs-10", [{"step": 1, "train/loss": 7}, {"step": "", "train/loss": 3}, {"step": 4, "lr-a": ""}])
    assert read_metrics_log(tmp_path) == {"train/loss": [(0, 9.0), (1, 7.0)], "lr-a": [(0, 1.0)]}
    assert read_metrics_log(tmp_path / "logs") == {}


def test_the_figure_has_totals_terms_rates_and_quality_but_no_terms_of_single_exits():
    logged = {
        "train/loss": [(0, 2.0), (1, 1.5)],
        "train/cross_entropy": [(0, 1.0), (1, 0.5)],
        "train/exit_1/cross_entropy": [(0, 1.0)],
        "lr-AdamW/pg1": [(0, 1e-4)],
        "lr-AdamW/pg2": [(0, 1e-4)],
        "lr-AdamW/pg3": [(0, 1e-3)],
        "val/selection": [(1, 0.8)],
        "val/accuracy": [(1, 0.9)],
    }
    figure = logged_figure(logged, "sst2")
    drawn = [[line.get_label() for line in axes.get_lines()] for axes in figure.axes]
    assert drawn == [["total loss", "cross_entropy"], ["selection split"], ["AdamW/pg1, AdamW/pg2", "AdamW/pg3"]]
    (quality,) = figure.axes[1].get_lines()
    assert quality.get_xydata().tolist() == [[1, pytest.approx(80.0)]]
    alone = dict.fromkeys(("train/loss", "train/cross_entropy"), logged["train/loss"])
    assert [line.get_label() for line in logged_figure(alone, "").axes[0].get_lines()] == ["cross_entropy"]
