"""A table in class-balanced and in length-grouped batches on two processes: shards, guarantees, resuming, weights."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from training_runs import furthest, in_processes, still_backbone, tiny_module, tiny_trainer, weights

from acl_lightning.data import TableDataModule
from acl_lightning.data.batches import ClassBalanced, LengthGrouped

#: 48 rows of three classes with 16 each, in 4 steps of 2 x 6 rows. The numbers of words differ.
ROWS, BATCH, CLASSES = 48, 6, 3
KINDS = {"balanced": ClassBalanced(2), "grouped": LengthGrouped(2)}
#: Single-process settings with the same updates: a grouped batch is divided, a balanced batch is one of two.
ALONE: dict[str, tuple[int, dict[str, Any]]] = {"balanced": (BATCH, {"accumulate": 2}), "grouped": (2 * BATCH, {})}


class Record(Callback):
    """Labels, row numbers and width of every training batch by epoch and number; saves a checkpoint in the middle."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.batches: dict[tuple[int, int], tuple[list[int], list[int], int]] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        columns = batch["index"].tolist(), batch["labels"].tolist(), batch["input_ids"].shape[1]
        self.batches[trainer.current_epoch, batch_idx] = columns
        if self.path is not None and (trainer.current_epoch, batch_idx) == (1, 1):
            trainer.save_checkpoint(self.path)


def write_table(path: Path, rows: int, start: int = 0) -> None:
    lines = [f"{'word ' * (1 + 5 * row % 13)}{row},topic{row % CLASSES}" for row in range(start, start + rows)]
    path.write_text("\n".join(["body,topic", *lines]) + "\n")


def train(backbone: str, directory: Path, kind: str, world: int, checkpoint: Path | None = None) -> dict[str, Any]:
    """Batches, metrics and final weights of two epochs, of this process."""
    batch_size, rates = (BATCH, {}) if world > 1 else ALONE[kind]
    data = TableDataModule(
        str(directory / "train.csv"),
        str(directory / "validation.csv"),
        text="body",
        label="topic",
        tokenizer=backbone,
        max_length=32,
        batch_size=batch_size,
        eval_batch_size=4,
        batches=KINDS[kind],
        cache_dir=str(directory / "cache"),
    )
    module = tiny_module(backbone, data, optimization=dict(rates))
    record = Record(directory / f"{kind}.ckpt" if checkpoint is None and world > 1 else None)
    strategy = {"strategy": "ddp", "devices": world} if world > 1 else {}
    trainer = tiny_trainer(directory, max_epochs=2, limit_val_batches=1.0, callbacks=[record], **strategy)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
    return {"batches": record.batches, "weights": weights(module), "metrics": metrics}


def train_all(backbone: str, directory: Path) -> None:
    """Every kind of batches in this process of two, then again from the middle of the second epoch."""
    found = {}
    for kind in KINDS:
        found[kind] = train(backbone, directory, kind, 2)
        found[f"{kind}, resumed"] = train(backbone, directory, kind, 2, directory / f"{kind}.ckpt")
    torch.save(found, directory / f"rank-{os.environ['LOCAL_RANK']}.pt")


@pytest.fixture(scope="module")
def directory(tiny_backbone, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("table")
    still_backbone(tiny_backbone, path / "bert")
    write_table(path / "train.csv", ROWS)
    write_table(path / "validation.csv", 9, start=ROWS)
    return path


@pytest.fixture(scope="module")
def ranks(directory) -> list[dict[str, Any]]:
    assert in_processes(train_all, str(directory / "bert"), directory, number=2) == [0, 0]
    return [torch.load(directory / f"rank-{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_processes_share_the_rows_of_an_epoch_and_resume_in_its_middle(kind, ranks):
    places = [(epoch, batch) for epoch in range(2) for batch in range(ROWS // (2 * BATCH))]
    for found in ranks:
        batches, resumed = found[kind]["batches"], found[f"{kind}, resumed"]["batches"]
        assert list(batches) == places
        assert resumed == {(1, 2): batches[1, 2], (1, 3): batches[1, 3]}
        assert furthest(found[kind]["weights"], found[f"{kind}, resumed"]["weights"]) == 0
    for epoch in range(2):
        first, second = (
            [row for place, (rows, _, _) in found[kind]["batches"].items() if place[0] == epoch for row in rows]
            for found in ranks
        )
        assert not {*first} & {*second}
        assert sorted(first + second) == list(range(ROWS))
    orders = [[found[kind]["batches"][epoch, 0][0] for found in ranks] for epoch in range(2)]
    assert orders[0] != orders[1]


def test_every_class_has_m_rows_in_the_batch_of_every_process(ranks):
    for found in ranks:
        for _, labels, _ in found["balanced"]["batches"].values():
            assert Counter(labels) == dict.fromkeys(range(CLASSES), 2)
    batches = [labels for found in ranks for _, labels, _ in found["grouped"]["batches"].values()]
    assert any(min(Counter(labels).get(label, 0) for label in range(CLASSES)) < 2 for labels in batches)


def test_grouped_batches_of_both_processes_have_less_padding(ranks):
    widths = {kind: sum(width for found in ranks for *_, width in found[kind]["batches"].values()) for kind in KINDS}
    assert widths["grouped"] < 0.85 * widths["balanced"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_end_as_one_process_with_the_same_updates(kind, ranks, directory):
    alone = train(str(directory / "bert"), directory, kind, 1)
    assert {"val/selection", "val/exit_1/accuracy"} <= alone["metrics"].keys()
    for found in ranks:
        assert furthest(found[kind]["weights"], alone["weights"]) < 5e-5
        assert found[kind]["metrics"] == pytest.approx(alone["metrics"], abs=1e-6)
