"""Evaluation batches with a largest number of tokens."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import SequentialSampler
from training_runs import tiny_data

from acl_lightning.data.batches import token_budget
from acl_lightning.data.batches.token_budget import TokenBudgetSampler
from acl_lightning.errors import UserError


def batches(lengths, max_tokens, **settings):
    return list(
        TokenBudgetSampler(SequentialSampler(range(len(lengths))), lengths=lengths, max_tokens=max_tokens, **settings)
    )


@settings(max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(30, 90), st.integers(1, 3))
def test_batches_keep_the_budget_and_every_row_occurs(lengths, budget, world_size):
    shards = [batches(lengths, budget, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert len({len(shard) for shard in shards}) == 1
    assert {row for shard in shards for batch in shard for row in batch} == set(range(len(lengths)))
    for batch in (batch for shard in shards for batch in shard):
        assert len(batch) * max(lengths[row] for row in batch) <= budget
    if world_size == 1:
        assert sum(map(len, shards[0])) == len(lengths)


def test_windows_follow_each_other_and_can_be_skipped(monkeypatch):
    monkeypatch.setattr(token_budget, "WINDOW", 4)
    lengths = [3, 9, 4, 5, 2, 2, 2, 2, 7]
    whole = batches(lengths, 10)
    assert whole == [[1], [3, 2], [0], [4, 5, 6, 7], [8]]
    assert batches(lengths, 10, first_window=1) == whole[3:]


def test_a_budget_below_one_sequence_is_refused(tiny_backbone):
    with pytest.raises(UserError, match=r"at least 9, the tokens of the longest row; found 8. Set data.max_tokens"):
        batches([3, 9], 8)
    with pytest.raises(UserError, match=r"--data.max_tokens_per_batch of at least 16; found 15"):
        tiny_data(tiny_backbone, max_tokens_per_batch=15)


def test_validation_sees_every_row_once(tiny_backbone):
    data = tiny_data(tiny_backbone, max_tokens_per_batch=64, selection="train", selection_rows=6)
    seen = list(data.val_dataloader())
    assert sorted(row for batch in seen for row in batch["index"].tolist() if row < 10) == list(range(10))
    assert max(batch["input_ids"].numel() for batch in seen) <= 64
    assert len(seen) < 16


def test_predictions_keep_the_order_of_the_rows_and_continue_after_a_stop(command, tmp_path, monkeypatch):
    """The same answers as with a fixed number of rows, in row order, over several windows."""
    run = tmp_path / "run"
    batches = ("--data.batches=ClassBalanced", "--data.batches.rows_per_class=3")
    assert command("fit", *batches, f"--run_dir={run}")[0] == 0
    assert "rows_per_class: 3" in (run / "config.yaml").read_text()
    predict = ("predict", f"--config={run / 'config.yaml'}", f"--ckpt_path={run / 'checkpoints/best.ckpt'}")
    plain, budget = tmp_path / "plain", tmp_path / "budget"
    assert command(*predict, f"--run_dir={plain}", defaults=False)[0] == 0
    monkeypatch.setattr(token_budget, "WINDOW", 5)
    monkeypatch.setattr("acl_lightning.data.text_module.WINDOW", 5)
    arguments = (*predict, f"--run_dir={budget}", "--data.max_tokens_per_batch=64")
    from acl_lightning.callbacks.prediction.output_file import PredictionFile

    write, calls = PredictionFile.write, []

    def stopped(file, rows):
        rows = list(rows)
        if len(calls) < 3 or calls[3:]:
            calls.append([row["index"] for row in rows])
            return write(file, rows)
        calls.append("stop")
        raise KeyboardInterrupt

    monkeypatch.setattr(PredictionFile, "write", stopped)
    command(*arguments, defaults=False)
    assert "stop" in calls
    assert not (budget / "predictions.jsonl").exists()
    assert command(*arguments, defaults=False)[0] == 0
    rows = [
        [json.loads(line) for line in (path / "predictions.jsonl").read_text().splitlines()] for path in (plain, budget)
    ]
    assert [row["index"] for row in rows[1]] == list(range(16))
    for first, second in zip(*rows, strict=True):
        assert (first["index"], first["sentence"], first["label"]) == (
            second["index"],
            second["sentence"],
            second["label"],
        )
        assert first["confidence"] == pytest.approx(second["confidence"], abs=1e-5)
