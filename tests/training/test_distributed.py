"""Several processes under DDP do what one does with the whole batch: weights, conflict decisions, predictions."""

import copy
import itertools
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
from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence
from acl_lightning.gradients import (
    ACLGrad,
    BackwardRows,
    PerLayer,
    PerTensor,
    ProtectedPCGrad,
    Representation,
    TopLayers,
)
from acl_lightning.objectives import (
    ACF,
    ACLCrossLayer,
    ACLEmbed,
    MemoryQueue,
    SelfDistillation,
    SupervisedContrastive,
    WeightedObjective,
)

#: 44 rows in global batches of 8: the last one is smaller. 6 steps an epoch.
ROWS, GLOBAL_BATCH = 44, 8


class Decisions(Callback):
    """The report of every optimiser step."""

    def __init__(self) -> None:
        self.reports: list[tuple[list[float], bool]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if outputs["report"] is not None:
            self.reports.append((outputs["report"].products_K.tolist(), outputs["report"].discarded))


def contrastive() -> dict[str, Any]:
    """A term that often conflicts with cross-entropy, and the rule that then drops it."""
    return {"objective": WeightedObjective(SupervisedContrastive(0.1)), "gradient_rule": ACLGrad()}


#: Two epochs on two processes.
SCENARIOS: dict[str, dict[str, Any]] = {
    "cross-entropy": {},
    "accumulated": {"optimization": {"accumulate": 2}},
    "global pool": {"global_pool": True, **contrastive()},
    "own pools": {"global_pool": False, **contrastive()},
    "own pools, queue": {"objective": WeightedObjective(ACLEmbed(0.1, queue=MemoryQueue(20)))},
}

#: One epoch on two processes, with a pool of both, and those of `ON_FOUR` on four as well.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "ACL-Embed": {"objective": WeightedObjective(ACLEmbed(0.1)), "gradient_rule": ACLGrad()},
    "ACL-CL": {"objective": WeightedObjective(ACLCrossLayer(0.1)), "gradient_rule": ACLGrad()},
    "ACF": {"objective": WeightedObjective(ACF(0.1)), "gradient_rule": ACLGrad()},
    "self-distillation": {"objective": WeightedObjective(SelfDistillation()), "gradient_rule": ACLGrad()},
    "queue": {"objective": WeightedObjective(ACLEmbed(0.1, queue=MemoryQueue(20))), "gradient_rule": ACLGrad()},
    "two terms": {
        "objective": WeightedObjective([SupervisedContrastive(0.1), ACLEmbed(0.1)]),
        "gradient_rule": ACLGrad(),
    },
    "project": contrastive() | {"gradient_rule": ProtectedPCGrad()},
    "per layer": contrastive() | {"gradient_scope": PerLayer()},
    "per tensor": contrastive() | {"gradient_scope": PerTensor(), "gradient_rule": ProtectedPCGrad()},
    "top layer": contrastive() | {"gradient_scope": TopLayers()},
    "representation": contrastive() | {"gradient_scope": Representation()},
    "every third step": contrastive() | {"check_every_n_steps": 3},
}
ON_FOUR = ("ACL-Embed", "ACF", "queue", "project", "top layer")


def train(backbone: str, directory: Path, world: int, *, epochs: int, **settings: Any) -> dict[str, Any]:
    """Final weights and decisions of this process; with one process, of all rows."""
    decisions = Decisions()
    data = tiny_data(backbone, synthetic_rows=ROWS, batch_size=GLOBAL_BATCH // world)
    module = tiny_module(backbone, data, **copy.deepcopy(settings))
    strategy = {"strategy": "ddp", "devices": world} if world > 1 else {}
    tiny_trainer(directory, max_epochs=epochs, callbacks=[decisions], **strategy).fit(module, datamodule=data)
    return {"weights": weights(module), "reports": decisions.reports}


def train_all(backbone: str, directory: Path, world: int) -> None:
    """Every scenario in this process of several; its findings go to a file."""
    found = {
        name: train(backbone, directory, world, epochs=1, global_pool=True, **settings)
        for name, settings in OBJECTIVES.items()
        if world == 2 or name in ON_FOUR
    }
    if world == 2:
        found |= {name: train(backbone, directory, world, epochs=2, **settings) for name, settings in SCENARIOS.items()}
        with pytest.raises(UserError) as error:
            train(backbone, directory, world, epochs=1, gradient_collector=BackwardRows())
        found["backward rows"] = str(error.value)
    torch.save(found, directory / f"rank-{os.environ['LOCAL_RANK']}.pt")


@pytest.fixture(scope="module")
def backbone(tiny_backbone, tmp_path_factory) -> str:
    return still_backbone(tiny_backbone, tmp_path_factory.mktemp("still") / "bert")


def in_world(world: int, backbone: str, directory: Path) -> list[dict[str, Any]]:
    """What each of `world` processes found."""
    assert in_processes(train_all, backbone, directory, world, number=world, timeout=500) == [0] * world
    return [torch.load(directory / f"rank-{rank}.pt") for rank in range(world)]


@pytest.fixture(scope="module")
def ranks(backbone, tmp_path_factory) -> list[dict[str, Any]]:
    return in_world(2, backbone, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def four(backbone, tmp_path_factory) -> list[dict[str, Any]]:
    return in_world(4, backbone, tmp_path_factory.mktemp("four"))


def assert_alike(found: dict[str, Any], alone: dict[str, Any]) -> None:
    """The same decisions and, but for rounding, the same weights: Adam magnifies it, and moves them by 1e-3 a step."""
    assert furthest(found["weights"], alone["weights"]) < 5e-5
    for (products, discarded), (expected, expected_discarded) in zip(found["reports"], alone["reports"], strict=True):
        assert products == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert discarded == expected_discarded


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_ranks_end_alike_and_decide_alike(scenario, ranks):
    first, second = (found[scenario] for found in ranks)
    assert furthest(first["weights"], second["weights"]) == 0
    assert first["reports"] == second["reports"]
    assert len(first["reports"]) == (12 if scenario != "accumulated" else 6)


@pytest.mark.parametrize("scenario", ["cross-entropy", "accumulated", "global pool"])
def test_two_processes_equal_one_with_the_whole_batch(scenario, ranks, backbone, tmp_path):
    assert_alike(ranks[0][scenario], train(backbone, tmp_path, 1, epochs=2, **SCENARIOS[scenario]))


@pytest.mark.parametrize("scenario", OBJECTIVES)
def test_every_objective_rule_and_scope_is_that_of_one_process(scenario, ranks, four, backbone, tmp_path):
    alone = train(backbone, tmp_path, 1, epochs=1, **OBJECTIVES[scenario])
    assert len(alone["reports"]) == 6
    for found in (*ranks, *(four if scenario in ON_FOUR else ())):
        assert_alike(found[scenario], alone)


def test_rules_and_scopes_differ(ranks):
    """Else the equalities above would hold for a rule that is never asked."""
    decisions = {name: [discarded for _, discarded in ranks[0][name]["reports"]] for name in OBJECTIVES}
    for name in ("per layer", "top layer", "representation"):
        assert any(decisions[name]), name
    updates = [ranks[0][name]["weights"] for name in ("project", "per layer", "per tensor", "top layer")]
    for first, second in itertools.combinations(updates, 2):
        assert furthest(first, second) > 1e-4


def test_a_collector_that_would_average_once_is_refused(ranks):
    for found in ranks:
        assert (
            "found DDP, whose reducer would average only the first of several backward passes"
            in (found["backward rows"])
        )


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
    assert in_processes(predict, backbone, two, number=2) == [0, 0]
    alone, together = (
        [json.loads(line) for line in (path / "predictions.jsonl").read_text().splitlines()] for path in (one, two)
    )
    assert [row["index"] for row in together] == list(range(11))
    assert {row["exit_layer"] for row in together} != {1}
    for first, second in zip(alone, together, strict=True):
        assert second.pop("confidence") == pytest.approx(first.pop("confidence"), abs=1e-5)
        assert first == second


def validate(backbone: str, directory: Path) -> None:
    """Write the metrics of an untrained module on the 15 rows of the validation split, in batches that need padding."""
    data = tiny_data(backbone, synthetic_rows=60, eval_batch_size=4)
    module = tiny_module(backbone, data)
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    strategy = {"strategy": "ddp", "devices": devices} if devices > 1 else {}
    trainer = tiny_trainer(directory, limit_val_batches=1.0, **strategy)
    trainer.validate(module, datamodule=data, verbose=False)
    found = {name: value.item() for name, value in trainer.callback_metrics.items()}
    (directory / f"{os.environ.get('LOCAL_RANK', 'alone')}.json").write_text(json.dumps(found))


def test_rows_that_pad_a_batch_do_not_count_in_validation(backbone, tmp_path):
    validate(backbone, tmp_path)
    assert in_processes(validate, backbone, tmp_path, number=2) == [0, 0]
    alone, *ranks = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("alone", "0", "1"))
    assert {"val/selection", "val/exit_1/accuracy"} <= alone.keys()
    assert ranks == [alone, alone]


def test_the_command_line_starts_two_processes(command, backbone, tmp_path):
    """One run directory, one result, the weights of one process with the whole batch, and no noise."""
    arguments = [
        f"--config={ROOT / 'conf/objective/acl.yaml'}",
        f"--model.encoder.backbone={backbone}",
        *("--model.encoder.dropout=0", "--model.global_pool=true", "--model.optimization.learning_rate=1e-3"),
        *("--data.source=synthetic", "--data.synthetic_rows=48", "--data.max_length=32"),
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


def test_sigterm_to_one_process_ends_all(tiny_backbone, tmp_path):
    """After the same batch; Lightning's own handler leaves two processes on gloo waiting for each other."""
    signalled = ("epoch=0", "batch=2", "name=SIGTERM", "rank=1")
    arguments = [
        *(f"--model.encoder.backbone={tiny_backbone}", "--data.source=synthetic", "--data.synthetic_rows=64"),
        *("--data.max_length=16", "--data.batch_size=4", "--trainer.strategy=ddp", "--trainer.devices=2"),
        *(
            "--trainer.accelerator=cpu",
            "--trainer.enable_progress_bar=false",
            "--trainer.log_every_n_steps=1",
            f"--run_dir={tmp_path / 'run'}",
        ),
        "--trainer.callbacks.class_path=killers.SignalBeforeBatch",
        *(f"--trainer.callbacks.init_args.{argument}" for argument in signalled),
    ]
    run = subprocess.run(
        [sys.executable, "-m", "acl_lightning", "fit", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 143, run.stderr
    assert run.stderr.count("interrupted by SIGTERM. To continue: ") == 1
    assert "Traceback" not in run.stderr
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == "interrupted"
