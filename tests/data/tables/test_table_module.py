"""TableDataModule: labels, splits, checks, and the same batches from every format."""

import csv
import io
import json
import re
import warnings
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from acl_lightning.data import TASKS, GLUEDataModule, TableDataModule, generate_split, read_split
from acl_lightning.data.tables.summary import class_balance, warn_about_duplicates
from acl_lightning.errors import UserError

TOPICS = ["billing", "bug", "login"]


def write_csv(path, rows, header=("body", "topic")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def messages(count=60, start=0):
    return [(f"message number {row} about {TOPICS[row % 3]}", TOPICS[row % 3]) for row in range(start, start + count)]


@pytest.fixture
def table(tmp_path, tiny_backbone):
    """Build a TableDataModule from rows of the training table, or from a file of this content and suffix."""

    def build(rows=None, suffix=".csv", **settings):
        path = tmp_path / f"messages{suffix}"
        if isinstance(rows, str):
            path.write_text(rows)
        elif suffix == ".csv":
            write_csv(path, messages() if rows is None else rows)
        else:
            path.write_text("\n".join(json.dumps({"body": body, "topic": topic}) for body, topic in rows))
        defaults = {"text": "body", "label": "topic", "tokenizer": tiny_backbone, "cache_dir": str(tmp_path / "cache")}
        return TableDataModule(str(path), **defaults | settings)

    return build


def column(loader, name):
    return torch.cat([batch[name] for batch in loader]).tolist()


# --- labels -----------------------------------------------------------------------------------------------------------


def test_classes_are_those_of_the_training_split_in_an_order_that_does_not_depend_on_the_rows(table):
    assert table(messages()[::-1]).label_names == TOPICS
    assert table([("a", "10"), ("b", "9"), ("c", "-1"), ("d", "9")]).label_names == ["-1", "9", "10"]
    assert table([("a", True), ("b", False)], ".jsonl").label_names == ["false", "true"]
    assert table([("a", 1), ("b", "x")], ".jsonl").label_names == ["1", "x"]
    assert table(messages(), label_names=["login", "bug", "billing"]).label_names == ["login", "bug", "billing"]
    module = table()
    assert (module.task_name, module.num_labels, module.metrics) == ("messages", 3, ["accuracy", "macro_f1"])
    assert module.info.text_columns == ("body",)


@pytest.mark.parametrize(
    ("rows", "suffix", "settings", "message"),
    [
        (None, ".csv", {"label": "topc"}, r"a column 'topc' in .*; found the columns body, topic. Did you me"),
        (None, ".csv", {"text": "xyz"}, r"a column 'xyz' in .*; found the columns body, topic. Set data.text"),
        (None, ".csv", {"label": "[a, b]"}, r"a single label per row; found several \(data.label = \[a, b\]\). Mu"),
        ("body;topic\na;x\n", ".csv", {}, "found the columns body;topic. Set data.delimiter to ';'"),
        ("body,topic\na,x\n,y\nb,\nc,\n", ".csv", {}, r"1 row without 'body' \(first: line 3\), 2 rows without 't"),
        ("body,topic\n", ".csv", {}, "rows with a text and a label in .*; found none"),
        ("body,topic\na,x\nb,x\n", ".csv", {}, "at least two classes in .*; found 'x' in every row"),
        ("body,topic\na,1\nb,0.5\n", ".csv", {}, "class labels .* line 3; found the number 0.5. Set data.regr"),
        ([("a", 1.0), ("b", 2.0)], ".jsonl", {}, "class labels .*line 1; found the number 1.0. Set data.regression"),
        ([("a", ["x", "y"])], ".jsonl", {}, r"a single label per row; found several \(\[\"x\", \"y\"\] in column 'to"),
        ([("a", {"x": 1})], ".jsonl", {}, "a label in column 'topic' of .*, line 1; found a dict"),
        ([(7, "x")], ".jsonl", {}, "a text in column 'body' of .*, line 1; found the number 7"),
        ("body,topic\na,x\n", ".csv", {"regression": True}, "a number in column 'topic' .*line 2; found the text"),
        ("body,topic\na,1_0\n", ".csv", {"regression": True}, "a number in column 'topic' .*line 2; found the text"),
        ("body,topic\na,inf\n", ".csv", {"regression": True}, "a number in column 'topic' .*line 2; found the text"),
        (None, ".csv", {"row_id": "topic"}, "a different id in every row of .*; found 'billing' in line 2 and line 5"),
        (None, ".csv", {"label_names": ["bug", "login"]}, r"labels of data.label_names in .*; found 20 rows with other "
                                                           r"labels: 'billing' \(20\); first in line 2. Add these la"),
        (None, ".csv", {"row_id": "nr"}, "found the columns body, topic. Set data.row_id to one of them, or data.col"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused_with_file_and_line(table, rows, suffix, settings, message):
    with pytest.raises(UserError, match=message):
        table(rows, suffix, **settings).rows("train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text": []}, "one or two different text columns for data.text; found none"),
        ({"text": ["a", "a"]}, "one or two different text columns"),
        ({"text": "topic"}, "different columns for data.text and data.label; found 'topic'"),
        ({"text": "label"}, "a text column with another name than .*; found label. Rename"),
        ({"validation_share": 0.7}, "data.validation_share above 0 and up to 0.5; found 0.7"),
        ({"regression": True, "label_names": ["a", "b"]}, "no data.label_names with data.regression=true"),
        ({"label_names": ["a", "a"]}, "two or more different data.label_names"),
        ({"validation": "-"}, "files for data.train, data.validation and data.test; found '-', standard input"),
        ({"seed": -1}, "--data.seed of at least 0"),
        ({"max_length": 3}, "--data.max_length of at least 8"),
    ],
)
def test_bad_settings_are_refused_at_construction(table, settings, message):
    with pytest.raises(UserError, match=message):
        table(**settings)


def test_a_message_about_columns_is_one_short_line_whatever_their_names_are(table):
    names = ["a text\nwith a line break", "x" * 1000, *(f"column {number}" for number in range(500))]
    header = ",".join(f'"{name}"' for name in names)
    with pytest.raises(UserError) as error:
        table(f"{header}\n{header}\n")
    message = str(error.value)
    assert "found the columns a text with a line break, xxxxx" in message
    assert "column 17 and 482 more. Set data.text to one of them, or data.column_names if the file has no" in message
    assert "\n" not in message
    assert len(message) < 700


def test_a_training_table_is_required():
    with pytest.raises(UserError, match=r"a training table; found none. Set data.train to a file"):
        TableDataModule()


def test_classes_that_differ_in_case_or_white_space_only_are_reported(table):
    with pytest.warns(UserWarning, match="the labels 'Bug' and ' bug' of .* differ in case or white space only"):
        assert table([("a", "Bug"), ("b", " bug"), ("c", "Bug")]).label_names == [" bug", "Bug"]


@pytest.mark.parametrize("mark", ["nan", "NaN", "None", "null", "N/A", "<NA>"])
def test_classes_whose_names_mark_missing_values_are_reported(table, mark):
    with pytest.warns(UserWarning, match=f"the labels '{mark}' of .* are classes like others. If they mark missing la"):
        assert mark in table([("a", "x"), ("b", mark), ("c", "nano")]).label_names


def test_incomplete_rows_are_left_out_on_request_and_counted_whenever_the_table_is_used(table):
    content = "body,topic\na,x\n ,y\nb,\nc,y\nd,x\ne,y\n"
    for _ in range(2):  # read, and from the cache
        with pytest.warns(UserWarning, match=r"2 rows are skipped: 1 row without 'body' \(first: line 3\), 1 row with"):
            module = table(content, skip_incomplete=True, validation_share=0.5)
        splits = [module.source.with_numbers(split)[:] for split in ("train", "validation")]
        assert sorted(text for split in splits for text in split["body"]) == ["a", "c", "d", "e"]
        assert sorted(number for split in splits for number in split["number"]) == [2, 5, 6, 7]


def test_skipped_rows_are_reported_once_by_a_command_that_opens_the_table_twice(table):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            table("body,topic\na,x\n ,y\nc,y\nd,x\ne,y\n", skip_incomplete=True, validation_share=0.5).rows("train")
    assert len(caught) == 1


# --- splits -----------------------------------------------------------------------------------------------------------


def test_a_validation_split_is_drawn_stratified_by_the_seed(table):
    first, second, other = table(), table(shuffle_seed=5), table(seed=1)
    texts = {
        name: [module.texts("validation", row)["body"] for row in range(12)]
        for name, module in {"first": first, "second": second, "other": other}.items()
    }
    assert texts["first"] == texts["second"] != texts["other"]
    assert torch.bincount(first.rows("validation").columns["labels"]).tolist() == [4, 4, 4]
    assert len(first.rows("train")) == 48
    training = {first.texts("train", row)["body"] for row in range(48)}
    assert not training & set(texts["first"])
    assert training | set(texts["first"]) == {body for body, _ in messages()}
    assert sum(column(first.val_dataloader(), "selection")) == 6


def test_training_rows_can_select(table):
    module = table(selection="train", selection_rows=9, train_rows=20)
    assert len(module.rows("train")) == 20
    assert len(module.validation_rows("validation")) == 12 + 9
    assert sum(column(module.val_dataloader(), "selection")) == 9
    with pytest.raises(
        UserError, match="selection rows and training rows among the 48 rows of the training split of mess"
    ):
        table(selection="train", train_rows=48).rows("train")


def test_a_class_with_a_single_row_is_not_divided(table):
    rows = [*messages(30), ("alone", "rare")]
    with pytest.raises(UserError, match=r"2 rows of every class .*; found 1 class with one row: 'rare' in line 32"):
        table(rows).rows("train")
    module = table(rows, keep_single_rows=True)
    assert "rare" in {module.label_names[label] for label in module.rows("train").columns["labels"].tolist()}
    assert len(module.rows("train")) == 25
    with pytest.raises(UserError, match=r"enough rows in .* for a validation split of at least 2 rows; found 6 rows"):
        table(messages(6)).rows("train")


def test_validation_and_test_tables(table, tmp_path):
    validation = write_csv(tmp_path / "valid.csv", messages(9, start=60))
    test = write_csv(tmp_path / "test.csv", messages(6, start=70))
    module = table(validation=validation, test=test, eval_batch_size=4)
    module.setup("test")
    assert len(module.rows("train")) == 60
    assert column(module.val_dataloader(), "labels") == [0, 1, 2] * 3
    assert column(module.test_dataloader(), "labels") == [1, 2, 0, 1, 2, 0]
    assert len(table(validation=validation).test_dataloader().dataset) == 9

    strange = write_csv(tmp_path / "strange.csv", [*messages(3), ("a", "new"), ("b", "new"), ("c", "newer")])
    with pytest.raises(
        UserError, match=r"found 3 rows with other labels: 'new' \(2\), 'newer' \(1\); first in line 5. Corr"
    ):
        table(validation=strange).rows("validation")
    renamed = write_csv(tmp_path / "renamed.csv", messages(6), header=("body", "subject"))
    with pytest.raises(
        UserError, match=r"a column 'topic' in .*renamed.csv, as in .*messages.csv; found the columns body, s"
    ):
        table(validation=renamed).rows("validation")


def test_a_regression(table):
    rows = [(f"text {row}", row / 4) for row in range(40)]
    module = table(rows, regression=True)
    assert (module.label_names, module.num_labels, module.metrics) == ([], 1, ["pearson", "spearman"])
    labels = module.rows("train").columns["labels"]
    assert labels.dtype == torch.float32
    assert sorted([*labels.tolist(), *module.rows("validation").columns["labels"].tolist()]) == [
        row / 4 for row in range(40)
    ]


def test_pairs_of_texts(table, tmp_path):
    path = write_csv(tmp_path / "pairs.csv", [("one", "two", "x"), ("three", "four", "y")] * 10, ("a", "b", "topic"))
    module = TableDataModule(path, text=["b", "a"], label="topic", cache_dir=str(tmp_path))
    assert module.texts("train", 0).keys() == {"b", "a"}
    ids = module.rows("train")[0]["input_ids"]
    assert module.tokenizer.decode(ids) in {"[CLS] two [SEP] one [SEP]", "[CLS] four [SEP] three [SEP]"}


def test_a_table_is_read_once_for_the_same_content(table, tmp_path, monkeypatch):
    table().rows("train")
    monkeypatch.setattr("acl_lightning.data.tables.source.LabelledRows", None)
    table(shuffle_seed=3).rows("train")  # the same content: not read again
    with pytest.raises(TypeError):
        table(messages(61))
    module = TableDataModule("elsewhere.csv", text="body", label="topic", label_names=TOPICS)
    assert module.label_names == TOPICS  # no file is read where the classes are known


def test_reports_name_small_classes_duplicates_and_truncated_rows(table, tmp_path, capsys):
    repeated = write_csv(tmp_path / "valid.csv", [*messages(3), ("new", "bug")])
    rows = [*messages(60), *[(f"rare text {row}", "rare") for row in range(4)], ("long " * 30, "bug")]
    module = table(rows, validation=repeated, max_length=16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module.setup("fit")
    shown = " | ".join(str(warning.message) for warning in caught)
    assert "1 of 4 classes have fewer than 10 training rows: 'rare' (4)" in shown
    assert (
        "3 of 4 rows (75.0 %) of the validation split have the texts of a training row, for example 'message num"
        in shown
    )
    assert "1 of 65 rows (1.5 %) of the split train are truncated to data.max_length = 16 tokens; 95 %" in shown
    assert re.search(r"bug +21 +32.3% +2 +50.0%", capsys.readouterr().out)


def test_the_table_of_classes_is_short_for_many_classes():
    names = [f"class{number}" for number in range(1000)]
    lines = class_balance(names, {"train": list(range(1000)), "validation": [1] * 1000}).splitlines()
    assert len(lines) == 2 + 21
    assert lines[2].split()[:2] == ["class999", "999"]
    assert lines[12].startswith("… 980 more")
    assert lines[-1].split()[:2] == ["class0", "0"]


def test_splits_without_common_texts_are_not_reported(recwarn):
    splits = {name: datasets.Dataset.from_dict({"a": [name], "b": ["x"]}) for name in ("train", "validation")}
    warn_about_duplicates(splits, ("a", "b"))
    warn_about_duplicates(splits, ("a",))
    assert not recwarn
    with pytest.warns(UserWarning, match=r"1 of 1 rows \(100.0 %\) of the validation split"):
        warn_about_duplicates(splits, ("b",))


# --- prediction -------------------------------------------------------------------------------------------------------


def test_prediction_streams_every_column_in_order(table, tmp_path):
    path = write_csv(tmp_path / "new.csv", [(f"text {row}", "", row) for row in range(10)], ("body", "topic", "nr"))
    module = table(predict=path, eval_batch_size=4)
    module.setup("predict")
    batches = list(module.predict_dataloader())
    assert [batch["index"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert module.prediction_fields(batches[2]) == [
        {"body": f"text {row}", "topic": "", "nr": f"{row}"} for row in (8, 9)
    ]
    assert set(batches[0]) == {"input_ids", "attention_mask", "token_type_ids", "index", "input_rows"}
    module.first_predict_batch = lambda: 2
    assert [batch["index"].tolist() for batch in module.predict_dataloader()] == [[8, 9]]
    assert "train" not in module._raw  # no training row was read


def test_a_json_list_on_standard_input_is_not_taken_for_csv(table, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'[{"body": "a"}]')))
    with pytest.raises(UserError, match=r"a JSON object in standard input, line 1; found a list\. Write an object per"):
        next(iter(table(predict="-").predict_dataloader()))


def test_several_processes_share_every_global_batch(table, tmp_path, monkeypatch):
    path = write_csv(tmp_path / "new.csv", [(f"text {row}",) for row in range(7)], ("body",))
    module = table(predict=path, eval_batch_size=2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(module, "_rank", lambda rank=rank: (rank, 2))
        shares.append([batch["index"].tolist() for batch in module.predict_dataloader()])
    assert shares == [[[0, 1], [4, 5]], [[2, 3], [6, 6]]]
    module = table(predict="-")
    monkeypatch.setattr(module, "_rank", lambda: (0, 2))
    with pytest.raises(UserError, match="a single process that reads standard input; found 2"):
        module.predict_dataloader()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\na\n", r"a column 'body' in .*new.csv; found the columns text"),
        ("body,x\n a,1\n ,2\n", "a text in column 'body' of .*new.csv, line 3; found an empty value"),
        ("body\n", "rows in .*new.csv; found none"),
        ("", "a header line with column names in .*new.csv"),
    ],
)
def test_bad_prediction_tables(table, tmp_path, content, message):
    (tmp_path / "new.csv").write_text(content)
    module = table(predict=str(tmp_path / "new.csv"))
    with pytest.raises(UserError, match=message):
        list(module.predict_dataloader())


def test_nothing_to_predict(table):
    with pytest.raises(UserError, match=r"a table to predict; found none"):
        table().setup("predict")


# --- GLUE -------------------------------------------------------------------------------------------------------------


def write_glue(directory, info, splits):
    """Write the splits of a GLUE task in every format; return format -> path of each split."""
    places = {}
    for split, columns in splits.items():
        labels = [info.file_labels[label] for label in columns["label"]]
        rows = {**{name: columns[name] for name in info.text_columns}, "gold": labels}
        names = list(rows)
        records = [dict(zip(names, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        path = directory / f"{split}.csv"
        write_csv(path, [list(record.values()) for record in records], names)
        path.with_suffix(".jsonl").write_text("\n".join(json.dumps(record) for record in records))
        pq.write_table(pa.table(rows), path.with_suffix(".parquet"))
        for suffix in (".csv", ".jsonl", ".parquet"):
            places.setdefault(suffix, {})[split] = str(path.with_suffix(suffix))
    return places


def assert_same_batches(glue, own):
    for loaders in ("train_dataloader", "val_dataloader"):
        pairs = zip(getattr(glue, loaders)(), getattr(own, loaders)(), strict=True)
        for first, second in pairs:
            assert first.keys() == second.keys()
            assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("task", ["rte", "sst2", "cola"])
def test_tables_of_a_real_glue_task_give_the_batches_of_its_own_files(task, glue_root, tmp_path, tiny_backbone):
    info, files = TASKS[task], TASKS[task].files
    for split in ("train", "validation"):  # the first rows
        lines = (glue_root / info.directory / files[split].name).read_bytes().splitlines(keepends=True)[:500]
        (tmp_path / info.directory).mkdir(exist_ok=True)
        (tmp_path / info.directory / files[split].name).write_bytes(b"".join(lines))
    settings = {"tokenizer": tiny_backbone, "cache_dir": str(tmp_path / "cache"), "max_length": 64}
    glue = GLUEDataModule(task, root=str(tmp_path), **settings)
    splits = {split: read_split(tmp_path, info, split) for split in ("train", "validation")}
    for paths in write_glue(tmp_path, info, splits).values():
        own = TableDataModule(**paths, text=list(info.text_columns), label="gold", **settings)
        assert_same_batches(glue, own)
    own = TableDataModule(
        **{split: str(tmp_path / info.directory / files[split].name) for split in splits},
        text=list(info.text_columns),
        label=files["train"].label,
        column_names=list(files["train"].columns or ()) or None,
        **settings,
    )
    assert_same_batches(glue, own)


@pytest.mark.parametrize("task", ["rte", "sst2"])
def test_tables_of_generated_rows_give_the_same_batches_and_weights_as_glue(task, tmp_path, tiny_backbone):
    from training_runs import furthest, tiny_module, tiny_trainer, weights

    info = TASKS[task]
    splits = {
        split: {
            name: values for name, values in generate_split(info, split, size, seed=0).items() if name != "difficulty"
        }
        for split, size in {"train": 24, "validation": 12}.items()
    }
    settings = {"tokenizer": tiny_backbone, "cache_dir": str(tmp_path / "cache"), "max_length": 32, "batch_size": 8}
    glue = GLUEDataModule(task, source="synthetic", **settings)
    glue._raw = {split: datasets.Dataset.from_dict(columns) for split, columns in splits.items()}
    modules = [glue]
    for paths in write_glue(tmp_path, info, splits).values():
        modules.append(TableDataModule(**paths, text=list(info.text_columns), label="gold", **settings))
        assert_same_batches(glue, modules[-1])
    trained = []
    for module in (modules[0], modules[-1]):
        learner = tiny_module(tiny_backbone, module)
        tiny_trainer(tmp_path).fit(learner, datamodule=module)
        trained.append(weights(learner))
    assert furthest(*trained) == 0.0


def test_the_example_table(tmp_path, tiny_backbone):
    path = Path(__file__).parents[3] / "examples/messages.csv"
    module = TableDataModule(
        str(path), text="body", label="topic", row_id="id", tokenizer=tiny_backbone, cache_dir=str(tmp_path)
    )
    assert module.label_names == TOPICS
    assert len(module.rows("train")) + len(module.rows("validation")) == 96
