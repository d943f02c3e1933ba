"""Selection protocol: which rows are trained on, which select, and which are reported."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from training_runs import tiny_data

from acl_lightning.callbacks import SummaryTable
from acl_lightning.data import SelectionProtocol, stratified_order
from acl_lightning.errors import UserError
from acl_lightning.exits import ExitRecord
from acl_lightning.export.model_card import _selection
from acl_lightning.runs import load_run
from acl_lightning.runs.records import read_exit_logits, read_result

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=80)


@given(labels=LABELS, seed=st.integers(0, 2**40), data=st.data())
def test_every_beginning_of_the_order_keeps_the_shares(labels, seed, data):
    order = stratified_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    size = data.draw(st.integers(0, len(labels)))
    drawn = Counter(labels[row] for row in order[:size])
    for label, count in Counter(labels).items():
        assert abs(drawn[label] - size * count / len(labels)) <= 1.5
    assert stratified_order(labels, seed) == order


def test_the_order_of_two_classes_alternates_and_depends_on_the_seed():
    labels = [0] * 50 + [1] * 50
    orders = [stratified_order(labels, seed) for seed in range(4)]
    assert all({labels[row] for row in order[2 * k : 2 * k + 2]} == {0, 1} for order in orders for k in range(50))
    assert len(set(map(tuple, orders))) == 4


@given(labels=st.lists(st.integers(0, 2), min_size=20, max_size=60), few=st.integers(1, 5), more=st.integers(0, 5))
def test_selection_rows_are_shared_by_all_sizes_and_smaller_subsets_are_contained_in_larger_ones(labels, few, more):
    divisions = [
        SelectionProtocol("train", 10, rows, seed=1).divide(labels, "sst2") for rows in (few, few + more, None)
    ]
    assert len({tuple(division.selection) for division in divisions}) == 1
    small, large, whole = (set(division.training) for division in divisions)
    assert small <= large <= whole
    assert (len(small), len(large), len(whole)) == (few, few + more, len(labels) - 10)
    assert not whole & set(divisions[0].selection)


@pytest.mark.parametrize(("rows", "selected"), [(150, 100), (2490, 249), (67349, 1000)])
def test_the_default_is_a_tenth_between_100_and_1000(rows, selected):
    assert len(SelectionProtocol("train").divide([0, 1] * (rows // 2), "rte").selection) == selected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"selection": "test"}, "--data.selection among validation, train; found 'test'. Set data.selection to one of"),
        ({"selection": "train", "selection_rows": 0}, "--data.selection_rows of at least 1; found 0"),
        (
            {"selection": "train", "selection_rows": 30, "train_rows": 11},
            "the 40 rows of the training split of sst2; found 30 selection rows and 11 to train on. "
            "Set data.selection_rows to 29 or less or data.train_rows to 10 or less.",
        ),
        (
            {"selection": "train", "selection_rows": 40},
            "found 40 selection rows and at least 1 to train on. Set data.selection_rows to 39 or less.",
        ),
        (
            {"selection": "train", "selection_rows": 8, "train_rows": 40},
            "found 8 selection rows and 40 to train on. Set data.train_rows to 32 or less.",
        ),
        ({"selection": "train"}, "found 100 selection rows and at least 1 to train on"),
    ],
)
def test_wrong_settings_are_refused_with_the_numbers(tiny_backbone, settings, message):
    with pytest.raises(UserError) as error:
        tiny_data(tiny_backbone, **settings).setup("fit")
    assert message in str(error.value)


def test_selection_rows_without_effect_warn(tiny_backbone):
    with pytest.warns(UserWarning, match=r"data.selection_rows = 5 has no effect .* Set data.selection to train"):
        tiny_data(tiny_backbone, selection_rows=5)


def as_columns(loader):
    batches = list(loader)
    return {name: torch.cat([batch[name] for batch in batches]) for name in ("index", "labels", "selection")}


def test_validation_runs_over_training_rows_and_the_whole_validation_split(tiny_backbone):
    data = tiny_data(tiny_backbone, selection="train", selection_rows=6, train_rows=12, batch_size=5)
    seen = as_columns(data.val_dataloader())
    report = seen["index"][~seen["selection"]]
    assert report.tolist() == list(range(10))
    selected = seen["index"][seen["selection"]] - 10
    trained = {row for batch in data.train_dataloader() for row in batch["index"].tolist()}
    assert len(set(selected.tolist())) == 6
    assert len(trained) == 12
    assert not trained & set(selected.tolist())
    labels = data.source.load(data.info, "train")["label"]
    assert seen["labels"][seen["selection"]].tolist() == [labels[row] for row in selected.tolist()]
    assert 0 < int(seen["selection"][:5].sum()) < 5, "the beginning has rows of both splits"
    (tested,) = data.test_dataloader()
    assert tested["index"].tolist() == list(range(10))
    ids = {int(row): batch["input_ids"][k] for batch in data.val_dataloader() for k, row in enumerate(batch["index"])}
    for row in selected.tolist():
        text = next(iter(data.texts("train", row).values()))
        expected = data.tokenizer(text, truncation=True, max_length=16)["input_ids"]
        assert ids[row + 10][: len(expected)].tolist() == expected


def test_only_the_first_validation_split_of_mnli_has_selection_rows(tiny_backbone):
    data = tiny_data(tiny_backbone, task="mnli", selection="train", selection_rows=9)
    matched, mismatched = (as_columns(loader)["selection"] for loader in data.val_dataloader())
    assert (int(matched.sum()), len(matched)) == (9, 19)
    assert (int(mismatched.sum()), len(mismatched)) == (0, 10)


# --- a run ------------------------------------------------------------------------------------------------------------


def test_a_run_selects_on_training_rows_and_reports_the_whole_validation_split(command, tmp_path, monkeypatch):
    run, console = tmp_path / "run", Console(record=True, width=200)
    monkeypatch.setattr(SummaryTable, "console", console)
    settings = ("--data.selection=train", "--data.selection_rows=20", "--data.train_rows=24")
    representation = "--trainer.callbacks+=RepresentationDiagnostics"
    assert command("fit", *settings, representation, f"--run_dir={run}")[0] == 0
    heading = "sst2: whole validation split, n = 16; thresholds were selected on the selection split, n = 20 training"
    assert heading in console.export_text()
    result, record = read_result(run), read_exit_logits(run)
    assert result.report["samples"] == {"selection": 20, "report": 16, "selection_from": "train"}
    assert record.selection_from == record.split(selection=True).selection_from == "train"
    assert record.index_B[~record.selection_B].tolist() == list(range(16))
    assert (record.index_B[record.selection_B] >= 16).all()
    assert result.data["protocol"].endswith("reported on the whole validation split")
    assert (result.data["train_rows"], result.data["selection_rows"]) == (24, 20)
    # `val/accuracy` is that of the whole validation split, and so is the quality of the deepest exit in the report.
    correct = record.split(selection=False)
    accuracy = (correct.logits_EBC[-1].argmax(-1) == correct.labels_B).double().mean().item()
    assert result.metrics["val/accuracy"] == pytest.approx(accuracy)
    assert result.report["full_depth"]["accuracy"] == pytest.approx(accuracy)
    chosen = record.split(selection=True)
    selection = (chosen.logits_EBC.argmax(-1) == chosen.labels_B).double().mean().item()
    assert result.metrics["val/selection"] == pytest.approx(selection)
    assert (run / "representation.csv").read_text().splitlines()[1].split(",")[1] == "16"
    _, data = load_run(run)
    assert data.selection == "train"
    assert _selection(result.sweep_report) == "20 training rows that were not trained on"
    code, _ = command("predict", f"--config={run / 'config.yaml'}", f"--ckpt_path={run / 'checkpoints/best.ckpt'}",
                      "--data.predict_split=validation", "--run_dir=predicted", defaults=False)  # fmt: skip
    assert code == 0
    assert len((tmp_path / "predicted/predictions.jsonl").read_text().splitlines()) == 16


def test_cross_fitting_is_refused_before_the_training(command):
    code, error = command("fit", "--data.selection=train", "--data.selection_rows=20", "--exit_sweep.cross_fit=true")
    assert code == 2
    assert "two parts of the validation split for cross_fit; found a selection split of train rows" in error


def test_records_of_the_default_protocol_keep_their_bytes(tmp_path, example_run):
    stored = example_run / "exit_logits.npz"
    record = ExitRecord.load(stored)
    assert record.selection_from == "validation"
    record.save(tmp_path / "again.npz")
    import numpy as np

    with np.load(tmp_path / "again.npz") as again:
        assert "selection_from" not in again.files
