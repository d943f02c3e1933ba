"""Two processes under DDP do what one does with the whole batch: weights, conflict decisions, predictions."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from training_runs import ROOT, furthest, in_processes, still_backbone, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.callbacks import AdaptivePrediction
from acl_lightning.exits import Confidence
from acl_lightning.gradients import Discard
from acl_lightning.objectives import Combined, SupervisedContrastive

#: 44 rows in global batches of 8: the last one is smaller. 6 steps, 2 epochs.
WORLD, ROWS, GLOBAL_BATCH = 2, 44, 8


class Decisions(Callback):
    """The report of every optimiser step."""

    def __init__(self) -> None:
        self.reports: list[tuple[list[float], bool]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if outputs["report"] is not None:
            self.reports.append((outputs["report"].products_K.tolist(), outputs["report"].discarded))


def contrastive() -> dict[str, Any]:
    """A term that often conflicts with cross-entropy, and the rule that then drops it."""
    return {"objective": Combined(SupervisedContrastive(0.1)), "gradient_rule": Discard()}


SCENARIOS: dict[str, dict[str, Any]] = {
    "cross-entropy": {},
    "accumulated": {"optimization": {"accumulate": 2}},
    "global pool": {"global_pool": True},
    "own pools": {"global_pool": False},
}


def train(scenario: str, backbone: str, directory: Path, world: int) -> dict[str, Any]:
    """Final weights and decisions of this process; with one process, of all rows."""
    settings = dict(SCENARIOS[scenario])
    if "pool" in scenario:
        settings |= contrastive()
    decisions = Decisions()
    data = tiny_data(backbone, synthetic_rows=ROWS, batch_size=GLOBAL_BATCH // world)
    module = tiny_module(backbone, data, **settings)
    strategy = {"strategy": "ddp", "devices": world} if world > 1 else {}
    tiny_trainer(directory, max_epochs=2, callbacks=[decisions], **strategy).fit(module, datamodule=data)
    return {"weights": weights(module), "reports": decisions.reports}


def train_all(backbone: str, directory: Path) -> None:
    """Every scenario in this process of several; its findings go to a file."""
    found = {scenario: train(scenario, backbone, directory, WORLD) for scenario in SCENARIOS}
    torch.save(found, directory / f"rank-{os.environ['LOCAL_RANK']}.pt")


@pytest.fixture(scope="module")
def backbone(tiny_backbone, tmp_path_factory) -> str:
    return still_backbone(tiny_backbone, tmp_path_factory.mktemp("still") / "bert")


@pytest.fixture(scope="module")
def ranks(backbone, tmp_path_factory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    directory = tmp_path_factory.mktemp("ranks")
    assert in_processes(train_all, backbone, directory, number=WORLD) == [0, 0]
    return [torch.load(directory / f"rank-{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_ranks_end_alike_and_decide_alike(scenario, ranks):
    first, second = (found[scenario] for found in ranks)
    assert furthest(first["weights"], second["weights"]) == 0
    assert first["reports"] == second["reports"]
    assert len(first["reports"]) == (12 if scenario != "accumulated" else 6)


@pytest.mark.parametrize("scenario", ["cross-entropy", "accumulated", "global pool"])
def test_two_processes_equal_one_with_the_whole_batch(scenario, ranks, backbone, tmp_path):
    alone = train(scenario, backbone, tmp_path, 1)
    assert furthest(ranks[0][scenario]["weights"], alone["weights"]) < 1e-5
    for (products, discarded), (expected, expected_discarded) in zip(
        ranks[0][scenario]["reports"], alone["reports"], strict=True
    ):
        assert products == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert discarded == expected_discarded


def test_the_pools_and_the_conflicts_are_real(ranks):
    """Else the tests above would hold for any code: some steps conflict, some do not, and the pools differ."""
    decisions = [discarded for _, discarded in ranks[0]["global pool"]["reports"]]
    assert any(decisions)
    assert not all(decisions)
    assert furthest(ranks[0]["global pool"]["weights"], ranks[0]["own pools"]["weights"]) > 1e-3


def predict(backbone: str, directory: Path) -> None:
    """Predict the 11 rows of the test split, leaving where the confidence allows."""
    data = tiny_data(backbone, synthetic_rows=ROWS, eval_batch_size=2)
    module = tiny_module(backbone, data)
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    strategy = {"strategy": "ddp", "devices": devices} if devices > 1 else {}
    callback = AdaptivePrediction(Confidence(), 0.501)
    tiny_trainer(directory, callbacks=[callback], **strategy).predict(module, datamodule=data)


def test_predictions_of_two_processes_hold_every_row_once(backbone, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    predict(backbone, one)
    assert in_processes(predict, backbone, two, number=WORLD) == [0, 0]
    alone, together = (
        [json.loads(line) for line in (path / "predictions.jsonl").read_text().splitlines()] for path in (one, two)
    )
    assert [row["index"] for row in together] == list(range(11))
    assert {row["exit_layer"] for row in together} != {1}
    for first, second in zip(alone, together, strict=True):
        assert second.pop("confidence") == pytest.approx(first.pop("confidence"), abs=1e-5)
        assert first == second


def test_the_command_line_starts_two_processes(command, backbone, tmp_path):
    """One run directory, one result, the weights of one process with the whole batch, and no noise."""
    arguments = [
        f"--config={ROOT / 'conf/objective/acl.yaml'}",
        f"--model.encoder.backbone={backbone}",
        *("--model.encoder.dropout=0", "--model.global_pool=true", "--model.optimization.learning_rate=1e-3"),
        *("--data.source=synthetic", "--data.synthetic_rows=48", "--data.max_length=16"),
        *(
            "--trainer.accelerator=cpu",
            "--trainer.log_every_n_steps=1",
            "--trainer.max_epochs=1",
            "--trainer.enable_progress_bar=false",
        ),
    ]
    one, two = tmp_path / "one", tmp_path / "two"
    distributed = ["--trainer.strategy=ddp", "--trainer.devices=2", "--data.batch_size=4", f"--run_dir={two}"]
    run = subprocess.run(
        [sys.executable, "-m", "acl_lightning", "fit", *arguments, *distributed],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    single = ["--trainer.devices=1", "--data.batch_size=8", f"--run_dir={one}"]
    assert command("fit", *arguments, *single, defaults=False)[0] == 0
    results = [json.loads((path / "result.json").read_text()) for path in (one, two)]
    assert [result["world_size"] for result in results] == [1, 2]
    assert results[0]["metrics"] == pytest.approx(results[1]["metrics"], abs=1e-5)
    states = [torch.load(path / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for path in (one, two)]
    assert furthest(*states) < 1e-5
    assert (one / "exit_sweep.csv").read_text().count("\n") == (two / "exit_sweep.csv").read_text().count("\n")
    assert run.stderr == ""
