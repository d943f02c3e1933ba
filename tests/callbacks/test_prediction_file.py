"""`predict` writes rows as they come: it continues after a kill, and what it holds does not grow with the rows."""

import gc
import json
import os
import signal
import tracemalloc
import warnings

import pytest
import torch
from lightning.pytorch import Callback
from training_runs import in_processes, tiny_data, tiny_module, tiny_trainer

from acl_lightning.callbacks import AdaptivePrediction
from acl_lightning.callbacks.prediction.answers import prediction_answers
from acl_lightning.callbacks.prediction.output_file import PredictionFile
from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence

ROWS = 40  # a quarter of the synthetic training rows


class KillAfterBatch(Callback):
    """Ends its own process as a power cut would, in the middle of a line."""

    def __init__(self, batch, directory):
        self.batch, self.directory = batch, directory

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx == self.batch:
            (part,) = self.directory.glob(".predictions.jsonl-*.part")
            with part.open("ab") as file:
                file.write(b'{"index": 99, "sent')
            os.kill(os.getpid(), signal.SIGKILL)


class CountBatches(Callback):
    """Counts the batches that are predicted."""

    def __init__(self):
        self.count = 0

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.count += 1


def predict(backbone, directory, *others, threshold=0.55, rows=ROWS, **trainer):
    data = tiny_data(backbone, synthetic_rows=4 * rows, eval_batch_size=8)
    module = tiny_module(backbone, data)
    callback = AdaptivePrediction(Confidence(), threshold)
    settings = {"callbacks": [callback, *others], **trainer}
    tiny_trainer(directory, **settings).predict(module, datamodule=data, return_predictions=False)
    return directory / "predictions.jsonl"


def predict_and_die(backbone, directory, batch):
    predict(backbone, directory, KillAfterBatch(batch, directory))


@pytest.mark.parametrize("batch", [0, 3, 4])
def test_a_killed_prediction_continues_to_the_same_bytes(tiny_backbone, tmp_path, batch):
    whole = predict(tiny_backbone, tmp_path / "whole").read_bytes()
    assert [json.loads(line)["index"] for line in whole.splitlines()] == list(range(ROWS))
    killed = tmp_path / "killed"
    assert in_processes(predict_and_die, tiny_backbone, killed, batch) == [-signal.SIGKILL]
    assert not (killed / "predictions.jsonl").exists()
    (part,) = killed.iterdir()
    assert part.name.startswith(".predictions.jsonl-")
    counter = CountBatches()
    assert predict(tiny_backbone, killed, counter).read_bytes() == whole
    assert counter.count == (1 if batch == 4 else 4 - batch)  # of 5; the last one is always predicted again
    assert [path.name for path in killed.iterdir()] == ["predictions.jsonl"]


def test_other_settings_do_not_continue_the_rows(tiny_backbone, tmp_path):
    in_processes(predict_and_die, tiny_backbone, tmp_path, 2)
    counter = CountBatches()
    rows = predict(tiny_backbone, tmp_path, counter, threshold=1.0).read_text().splitlines()
    assert counter.count == 5
    assert {json.loads(row)["exit_layer"] for row in rows} == {3}
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]


class RetainedMemory(Callback):
    """Bytes of the Python objects that batches `first` to `last`, counted from 0, leave behind."""

    def __init__(self, first, last):
        self.first, self.last = first, last

    def on_predict_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if batch_idx == self.first:
            tracemalloc.start()

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx == self.last:
            gc.collect()
            self.bytes = tracemalloc.get_traced_memory()[0]


def test_memory_does_not_grow_with_the_rows(tiny_backbone, tmp_path):
    memory = RetainedMemory(11, 49)
    try:
        predict(tiny_backbone, tmp_path, memory, rows=400)
    finally:
        tracemalloc.stop()
    # 312 rows lie in these batches. A row that is kept takes about 500 bytes; Lightning keeps 15 of indices.
    assert memory.bytes < 312 * 150


def rows_of(*indices, label="yes"):
    return [{"index": index, "label": label} for index in indices]


def test_rows_are_kept_up_to_a_whole_batch(tmp_path):
    path = tmp_path / "out.jsonl"
    file = PredictionFile(path, "a")
    assert file.resume(2) == 0
    file.write(rows_of(0, 1, 2, 3, 4))
    file.close()
    for damage in (b"", b'{"index": 5', b'\0\0\0\n{"index": 5}\n', b"[5]\n", b'{"index": 9}\n'):
        with file.part.open("ab") as part:
            part.write(damage)
        file = PredictionFile(path, "a")
        assert file.resume(2) == 4
        assert file.num_rows == 4
        file.write(rows_of(4))
        file.close()
    file = PredictionFile(path, "a")
    assert file.resume(2, at_most=3) == 2
    file.write(rows_of(2, 3))
    file.finish()
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows_of(0, 1, 2, 3)


def test_rows_come_once_and_in_order(tmp_path):
    file = PredictionFile(tmp_path / "out.jsonl", "a")
    file.write(rows_of(0, 1))
    file.write(rows_of(0, 2))  # two processes fill the last batch up with row 0
    with pytest.raises(UserError, match="row 3 next; found row 4"):
        file.write(rows_of(4))
    file.finish()
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def test_two_processes_do_not_write_the_same_rows(tmp_path):
    file = PredictionFile(tmp_path / "out.jsonl", "a")
    with pytest.raises(UserError, match=r"no other process that writes .*out\.jsonl"):
        PredictionFile(tmp_path / "out.jsonl", "a")
    other = PredictionFile(tmp_path / "out.jsonl", "b")
    other.finish()
    assert file.part.exists()  # it is still being written
    file.close()
    PredictionFile(tmp_path / "out.jsonl", "b").finish()
    assert not file.part.exists()


def test_a_full_disk_is_one_line(tmp_path):
    file = PredictionFile(tmp_path / "out.jsonl", "a")
    file._file.close()
    file._file = open("/dev/full", "ab")  # noqa: PTH123, SIM115
    with pytest.raises(UserError, match=r"to write .*out\.jsonl; found No space left.*continues where it stopped"):
        file.write(rows_of(0))
    with pytest.raises(OSError, match="No space"):
        file._file.close()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_have_no_label(bad):
    logits_BC = torch.tensor([[0.0, 1.0], [bad, 0.0], [0.0, bad]])
    layer_B = torch.tensor([2, 4, 4])
    first, *others = prediction_answers(
        logits_BC, layer_B, label_names=["no", "yes"], exit_layers=(2, 4), all_classes=True
    )
    assert (first["label"], first["exit_layer"], first["calibrated"]) == ("yes", 2, False)
    for answer in others:
        assert answer == {
            "label": None,
            "confidence": None,
            "calibrated": False,
            "exit_layer": 4,
            "probabilities": None,
        }
    values = prediction_answers(torch.tensor([[0.5], [bad]]), layer_B[:2], label_names=[], exit_layers=(2, 4))
    assert values == [{"label": 0.5, "exit_layer": 2}, {"label": None, "exit_layer": 4}]


class Break(Callback):
    """Makes the logits of one row, or of all, NaN."""

    def __init__(self, rows):
        self.rows = rows

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        outputs["logits_BC"][torch.isin(batch["index"], torch.tensor(self.rows))] = torch.nan


def test_predictions_of_a_broken_model_are_valid_json(tiny_backbone, tmp_path):
    data = tiny_data(tiny_backbone, synthetic_rows=4 * ROWS, eval_batch_size=8)
    module = tiny_module(tiny_backbone, data)

    def run(rows):
        trainer = tiny_trainer(tmp_path, callbacks=[Break(rows), AdaptivePrediction()])
        trainer.predict(module, datamodule=data, return_predictions=False)

    def no_constant(name):
        raise AssertionError(f"{name} is no JSON")

    with pytest.warns(UserWarning, match=f"1 of {ROWS} samples have logits that are not finite: their label is null"):
        run([5])
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
    labels = [json.loads(line, parse_constant=no_constant)["label"] for line in lines]
    assert [index for index, label in enumerate(labels) if label is None] == [5]
    (tmp_path / "predictions.jsonl").unlink()
    with warnings.catch_warnings(), pytest.raises(UserError, match=f"finite logits; found none in {ROWS} samples"):
        run(list(range(ROWS)))
    assert list(tmp_path.iterdir()) == []
