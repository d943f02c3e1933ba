"""The diagnostics on tiny runs: files, loggers, draws, one process against two."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_module import QUIET_TRAINER
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from training_runs import in_processes, still_backbone, tiny_data, tiny_module, tiny_trainer

from acl_lightning.callbacks import RepresentationDiagnostics
from acl_lightning.errors import UserError
from acl_lightning.objectives import SquaredError, WeightedObjective
from acl_lightning.representation import MEASURES, measure_exits, unit_vectors

pytestmark = QUIET_TRAINER

FILES = {"representation.csv", "embeddings.npz", "embeddings.png"}


@pytest.fixture(scope="module")
def backbone(tiny_backbone, tmp_path_factory) -> str:
    return still_backbone(tiny_backbone, tmp_path_factory.mktemp("still") / "bert")


def validated(backbone: str, directory: Path, callback: RepresentationDiagnostics, **trainer: Any):
    """Validate an untrained module on 22 generated rows; returns the module and its data."""
    data = tiny_data(backbone, synthetic_rows=88, eval_batch_size=4)
    module = tiny_module(backbone, data)
    settings = {"limit_val_batches": 1.0, "callbacks": [callback], **trainer}
    tiny_trainer(directory, **settings).validate(module, datamodule=data, verbose=False)
    return module, data


def rows_of(directory: Path) -> list[dict[str, str]]:
    with (directory / "representation.csv").open(newline="") as table:
        return list(csv.DictReader(table))


def arrays_of(directory: Path) -> dict[str, np.ndarray]:
    with np.load(directory / "embeddings.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def run(backbone, tmp_path_factory):
    """A validation: its directory, callback, module, and what all exits said about the rows, computed apart."""
    directory = tmp_path_factory.mktemp("run")
    callback = RepresentationDiagnostics(layers=[1, 3])
    module, data = validated(backbone, directory, callback)
    module.eval()
    seen: dict[str, list[torch.Tensor]] = {"embeddings": [], "labels": [], "index": []}
    with torch.no_grad():
        for batch in data.val_dataloader():
            seen["embeddings"].append(module(batch).embeddings_EBD)
            seen["labels"].append(batch["labels"])
            seen["index"].append(batch["index"])
    order = torch.cat(seen["index"]).argsort()
    embeddings_EnD = torch.cat(seen["embeddings"], dim=1)[:, order]
    return directory, callback, module, embeddings_EnD, torch.cat(seen["labels"])[order]


def test_the_table_holds_the_measures_of_every_exit(run):
    directory, callback, module, embeddings_EnD, labels_n = run
    assert {path.name for path in directory.iterdir()} == FILES
    expected = measure_exits(embeddings_EnD, labels_n, module.encoder.label_embeddings_ECD().detach())
    rows = rows_of(directory)
    assert list(rows[0]) == ["exit_layer", "samples", *MEASURES]
    assert [row["exit_layer"] for row in rows] == ["1", "2", "3"]
    assert {row["samples"] for row in rows} == {str(len(labels_n))}
    for row, layer, values in zip(rows, (1, 2, 3), expected, strict=True):
        assert {name: float(row[name]) for name in MEASURES} == pytest.approx(values, rel=1e-4, abs=1e-6)
        assert callback.measures[layer] == pytest.approx(values, rel=1e-4, abs=1e-6)


def test_the_kept_vectors_are_those_of_the_chosen_exits(run):
    directory, _, module, embeddings_EnD, labels_n = run
    arrays = arrays_of(directory)
    assert arrays["layers_K"].tolist() == [1, 3]
    assert arrays["label_names_C"].tolist() == module.label_names
    assert str(arrays["task"]) == module.task_name
    np.testing.assert_array_equal(arrays["labels_n"], labels_n)
    np.testing.assert_array_equal(arrays["index_n"], np.arange(len(labels_n)))
    np.testing.assert_allclose(arrays["vectors_KnD"], unit_vectors(embeddings_EnD[[0, 2]]), atol=2e-3)
    stars = unit_vectors(module.encoder.label_embeddings_ECD()[[0, 2]])
    np.testing.assert_allclose(arrays["label_vectors_KCD"], stars, atol=1e-3)
    assert arrays["vectors_KnD"].dtype == arrays["label_vectors_KCD"].dtype == np.float16


def test_the_draw_is_seeded_bounded_and_the_same_for_every_run(backbone, tmp_path, run):
    everything = arrays_of(run[0])
    drawn = {}
    for name, seed in {"first": 0, "again": 0, "other": 1}.items():
        validated(backbone, tmp_path / name, RepresentationDiagnostics(max_rows=9, seed=seed))
        drawn[name] = arrays_of(tmp_path / name)
    assert drawn["first"]["index_n"].tolist() == drawn["again"]["index_n"].tolist()
    assert drawn["first"]["index_n"].tolist() != drawn["other"]["index_n"].tolist()
    index = drawn["first"]["index_n"]
    assert len(set(index.tolist())) == 9
    assert rows_of(tmp_path / "first")[0]["samples"] == "9"
    np.testing.assert_allclose(drawn["first"]["vectors_KnD"][0], everything["vectors_KnD"][1, index], atol=2e-3)
    assert drawn["first"]["layers_K"].tolist() == [3]


def test_only_validate_measures_and_only_the_first_set(backbone, tmp_path):
    callback = RepresentationDiagnostics()
    data = tiny_data(backbone)
    module = tiny_module(backbone, data)
    trainer = tiny_trainer(tmp_path, limit_val_batches=1.0, callbacks=[callback])
    trainer.fit(module, datamodule=data)
    assert callback.measures == {}
    assert not any(tmp_path.iterdir())
    mnli = tiny_data(backbone, task="mnli")
    module = tiny_module(backbone, mnli)
    trainer.validate(module, datamodule=mnli, verbose=False)
    first, second = mnli.val_dataloader()
    assert len(first.dataset) + len(second.dataset) > len(first.dataset)
    assert rows_of(tmp_path)[0]["samples"] == str(len(first.dataset))
    assert len(arrays_of(tmp_path)["label_names_C"]) == 3


def test_a_regression_is_measured_without_classes(backbone, tmp_path):
    data = tiny_data(backbone, task="stsb")
    module = tiny_module(backbone, data, objective=WeightedObjective(protected=SquaredError()))
    callback = RepresentationDiagnostics()
    trainer = tiny_trainer(tmp_path, limit_val_batches=1.0, callbacks=[callback])
    trainer.validate(module, datamodule=data, verbose=False)
    row = rows_of(tmp_path)[-1]
    assert {name for name in MEASURES if row[name]} == {"uniformity", "anisotropy", "effective_rank"}
    arrays = arrays_of(tmp_path)
    assert arrays["label_vectors_KCD"].shape == (1, 0, 32)
    assert arrays["label_names_C"].tolist() == ["all samples"]
    assert {path.name for path in tmp_path.iterdir()} == FILES


class Spoil(Callback):
    """Makes the embeddings of the second exit NaN after its logits, which the module would refuse, are computed."""

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        outputs["embeddings_EBD"][1].fill_(math.nan)


def test_embeddings_that_are_not_finite_are_reported_as_undefined(backbone, tmp_path):
    data = tiny_data(backbone)
    module = tiny_module(backbone, data)
    callback = RepresentationDiagnostics(layers=[2])
    trainer = tiny_trainer(tmp_path, limit_val_batches=1.0, callbacks=[Spoil(), callback])
    trainer.validate(module, datamodule=data, verbose=False)
    first, second, third = rows_of(tmp_path)
    assert all(first[name] and third[name] for name in MEASURES)
    assert not any(second[name] for name in MEASURES)
    assert not any(name.startswith("representation/exit_2/") for name in trainer.callback_metrics)


def test_loggers_get_the_measures_and_the_map(backbone, tmp_path):
    board = TensorBoardLogger(tmp_path / "tensorboard")
    table = CSVLogger(tmp_path / "csv")
    callback = RepresentationDiagnostics()
    validated(backbone, tmp_path / "run", callback, logger=[board, table])
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(board.log_dir).Reload()
    assert events.Tags()["images"] == ["embeddings"]
    (value,) = events.Scalars("representation/exit_3/alignment")
    assert value.value == pytest.approx(callback.measures[3]["alignment"], rel=1e-5)
    with Path(table.log_dir, "metrics.csv").open(newline="") as lines:
        logged = next(csv.DictReader(lines))
    names = {f"representation/exit_{layer}/{name}" for layer in (1, 2, 3) for name in MEASURES}
    assert names <= set(logged)


def two_processes(backbone: str, directory: Path) -> None:
    """Validate in one of two processes. Of 22 rows in batches of 4 the sampler repeats some."""
    callback = RepresentationDiagnostics(max_rows=15)
    validated(backbone, directory, callback, strategy="ddp", devices=2)


def test_two_processes_measure_the_samples_of_one(backbone, tmp_path):
    validated(backbone, tmp_path / "one", RepresentationDiagnostics(max_rows=15))
    assert in_processes(two_processes, backbone, tmp_path / "two", number=2) == [0, 0]
    alone, together = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    for first, second in zip(alone, together, strict=True):
        assert first["samples"] == second["samples"] == "15"
        assert {name: float(second[name]) for name in MEASURES} == pytest.approx(
            {name: float(first[name]) for name in MEASURES}, rel=1e-4, abs=1e-5
        )
    for name, values in arrays_of(tmp_path / "one").items():
        if name != "vectors_KnD":
            np.testing.assert_array_equal(arrays_of(tmp_path / "two")[name], values)


def test_settings_are_checked_before_anything_is_trained(backbone, tmp_path):
    with pytest.raises(UserError, match="max_rows and map_rows >= 2; found 1 and 600"):
        RepresentationDiagnostics(max_rows=1)
    data = tiny_data(backbone)
    module = tiny_module(backbone, data)
    for layers in ([1, 7], []):
        trainer = tiny_trainer(tmp_path, callbacks=[RepresentationDiagnostics(layers)])
        with pytest.raises(UserError, match=r"layers with an exit \(1, 2, 3\); found \["):
            trainer.fit(module, datamodule=data)
        assert trainer.global_step == 0


def test_a_module_that_hands_over_no_embeddings_is_refused(backbone, tmp_path):
    data = tiny_data(backbone)
    module = tiny_module(backbone, data)
    module.validation_step = lambda batch, batch_idx: {"labels": batch["labels"]}
    trainer = tiny_trainer(tmp_path, limit_val_batches=1.0, callbacks=[RepresentationDiagnostics()])
    with pytest.raises(UserError, match="found no embeddings_EBD, index"):
        trainer.validate(module, datamodule=data, verbose=False)


def test_the_command_line_adds_it_to_a_run(command, tmp_path):
    conf = Path(__file__).parents[2] / "conf/callbacks/representation.yaml"
    run = tmp_path / "run"
    assert command("fit", f"--config={conf}", f"--run_dir={run}", "--trainer.callbacks.max_rows=8") == (0, "")
    assert {path.name for path in run.iterdir()} >= FILES
    assert [row["samples"] for row in rows_of(run)] == ["8"] * 3
