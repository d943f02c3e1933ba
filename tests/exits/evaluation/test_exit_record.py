"""The stored logits: what goes in comes out, and what is no record is said to be none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from acl_lightning.errors import UserError
from acl_lightning.exits import ExitCosts, ExitRecord

COSTS = ExitCosts((2, 4), depth=4, flops_E=(10.0, 20.0), full_flops=19.0)


def record(**changes) -> ExitRecord:
    columns = {
        "logits_EBC": torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)),
        "labels_B": torch.tensor([0, 1, 2, 1, 0]),
        "index_B": torch.arange(5),
        "selection_B": torch.tensor([True, False, True, False, False]),
        "num_tokens_B": torch.tensor([7, 8, 9, 7, 7]),
        "gates_EB": torch.randn(2, 5, generator=torch.Generator().manual_seed(1)),
        "difficulty_B": torch.tensor([0, 0, 1, 1, 2]),
    }
    return ExitRecord(**(columns | changes), costs=COSTS)


@pytest.mark.parametrize("without", [{}, {"gates_EB": None}, {"difficulty_B": None, "gates_EB": None}])
def test_what_goes_in_comes_out_bit_for_bit(tmp_path, without):
    one = record(**without)
    one.save(tmp_path / "a.npz")
    again = ExitRecord.load(tmp_path / "a.npz")
    assert (again.costs, again.selection_from) == (COSTS, one.selection_from)
    for name, values in vars(one).items():
        if name not in {"costs", "selection_from"}:
            other = getattr(again, name)
            assert other is values is None or (torch.equal(other, values) and other.dtype == values.dtype), name
    one.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_costs_of_static_exits_are_stored_and_records_without_them_are_read(tmp_path):
    one = ExitRecord(**{**vars(record()), "costs": replace(COSTS, static_flops_E=(10.0, 19.0))})
    one.save(tmp_path / "new.npz")
    assert ExitRecord.load(tmp_path / "new.npz").costs.flops_by(static=True) == (10.0, 19.0)
    record().save(tmp_path / "old.npz")  # as an earlier version writes it
    with np.load(tmp_path / "old.npz") as file:
        assert "static_flops_E" not in file.files
    assert ExitRecord.load(tmp_path / "old.npz").costs.flops_by(static=True) == COSTS.flops_E
    with pytest.raises(UserError, match="FLOPs of 2 exits; found 1 values"):
        replace(COSTS, static_flops_E=(10.0,))


def test_splits():
    one = record()
    selection, report = one.split(selection=True), one.split(selection=False)
    assert (selection.index_B.tolist(), report.index_B.tolist()) == ([0, 2], [1, 3, 4])
    assert torch.equal(report.logits_EBC, one.logits_EBC[:, [1, 3, 4]])
    assert torch.equal(report.gates_EB, one.gates_EB[:, [1, 3, 4]])
    assert report.difficulty_B.tolist() == [0, 1, 2]
    assert record(gates_EB=None, difficulty_B=None).split(selection=True).gates_EB is None
    assert not one.is_regression


def test_what_is_no_record_is_said_with_the_remedy(tmp_path):
    path = tmp_path / "exit_logits.npz"
    message = r"stored exit logits at .*exit_logits\.npz; found no such file\. Validate.*--run_dir NEW`, and copy NEW"
    with pytest.raises(UserError, match=message):
        ExitRecord.load(path)
    path.write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(UserError, match="found a damaged file"):
        ExitRecord.load(path)
    np.savez(path, labels_B=np.arange(3))
    with pytest.raises(UserError, match=r"found a damaged file .*layers_E"):
        ExitRecord.load(path)
    np.savez(path, labels_B=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="found a damaged file"):
        ExitRecord.load(path)
