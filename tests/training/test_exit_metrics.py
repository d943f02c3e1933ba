"""Tests of the metrics of an evaluation: sets, exits, selection split, and several processes."""

import os
from pathlib import Path

import pytest
import torch
from training_runs import in_processes

from acl_lightning.errors import UserError
from acl_lightning.training.exit_metrics import ExitMetrics


def test_an_unknown_metric_is_refused():
    with pytest.raises(UserError, match=r"metrics among accuracy, f1, macro_f1, balanced.*; found bleu"):
        ExitMetrics(["bleu"], exit_layers=(1,))


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    """Logits whose predictions are `labels`."""
    return torch.nn.functional.one_hot(labels, 2).float()


def test_sets_exits_and_the_selection_split_do_not_mix():
    metrics = ExitMetrics(["accuracy"], exit_layers=(2, 4), num_sets=3)
    labels = torch.tensor([0, 1, 1, 0])
    right, wrong = one_hot(labels), one_hot(1 - labels)
    half = torch.tensor([True, True, False, False])
    mixed = torch.cat([right[:2], wrong[2:]])  # right on the selection split, wrong on the other
    metrics.update(torch.stack([wrong, mixed]), labels, selection_B=half)
    metrics.update(torch.stack([right, right]), labels, selection_B=half, number=1)
    found = {(number, layer): values["accuracy"] for number, layer, values in metrics.compute()}
    assert found == {(0, 2): 0.0, (0, 4): 0.5, (1, 2): 1.0, (1, 4): 1.0}
    assert metrics.on_selection_split().tolist() == [0.0, 1.0]
    unmarked = ExitMetrics(["accuracy"], exit_layers=(1,))
    assert list(unmarked.compute()) == []
    unmarked.update(right.unsqueeze(0), labels)
    assert unmarked.on_selection_split() is None


def test_logits_that_are_not_finite_are_refused_with_their_exits():
    labels = torch.tensor([0, 1, 1, 0])
    logits = torch.stack([one_hot(labels)] * 3)
    logits[1, 2, 0], logits[2, :2, 1] = float("nan"), float("-inf")
    metrics = ExitMetrics(["accuracy"], exit_layers=(2, 4, 6))
    metrics.update(logits[:, :2], labels[:2])
    metrics.update(logits[:, 2:], labels[2:])
    for refuse in (metrics.check_finite, lambda: list(metrics.compute())):
        with pytest.raises(UserError, match=r"for some of 4 samples at the exits of layer 4 \(1\), layer 6 \(2\)\."):
            refuse()


def evaluate_a_share(directory: Path) -> None:
    """Write what this process of two finds for 15 rows; the second process has the first row again as padding."""
    rank = int(os.environ["LOCAL_RANK"])
    torch.distributed.init_process_group("gloo", rank=rank)
    rows = torch.arange(16)[rank * 8 : rank * 8 + 8] % 15
    labels = (rows < 7).long()
    metrics = ExitMetrics(["accuracy"], exit_layers=(1,), world_size=2)
    logits = one_hot(torch.ones_like(labels)).unsqueeze(0)
    metrics.update(logits, labels, selection_B=(rows != 1) & (rows < 9), index_B=rows)
    ((_, _, found),) = metrics.compute()
    torch.save((found["accuracy"], metrics.on_selection_split().item()), directory / f"{rank}.pt")


def test_rows_that_pad_the_last_distributed_batch_count_once(tmp_path):
    """15 rows on two processes, of which the prediction is right for the first 7."""
    assert in_processes(evaluate_a_share, tmp_path, number=2) == [0, 0]
    for rank in range(2):
        accuracy, selection = torch.load(tmp_path / f"{rank}.pt")
        assert accuracy == pytest.approx(7 / 15)
        assert selection == pytest.approx(6 / 8)
