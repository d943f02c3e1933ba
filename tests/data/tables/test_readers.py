"""Readers of tables: every format gives the same cells, and malformed files are refused with file and line."""

import csv
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from csv_oracle import read_csv
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acl_lightning.data.tables.opening import TablePlace
from acl_lightning.errors import UserError
from acl_lightning.table_files.text_format import TextFormat

ROWS = [
    {"id": "a", "body": 'say "hi", now', "topic": "x"},
    {"id": "b", "body": "two\nlines\u2028and\x0cmore", "topic": "NA"},
    {"id": "c", "body": "ünïcode 😀, null", "topic": "x"},
]


def read(path, **text_format):
    table = TablePlace(str(path), text_format=TextFormat(**text_format)).open()
    chunks = list(table.chunks(2))
    assert all(chunks)
    return [row for chunk in chunks for row in chunk.rows()], [number for chunk in chunks for number in chunk.numbers]


def write_csv(path, rows, **format_):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n", **format_)
        writer.writeheader()
        writer.writerows(rows)
    return path


def written(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    if suffix == ".csv":
        write_csv(path, ROWS)
    elif suffix == ".tsv":
        write_csv(path, ROWS, delimiter="\t")
    elif suffix == ".jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        datasets.Dataset.from_list(ROWS).save_to_disk(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ""])
def test_every_format_gives_the_cells_that_were_written(tmp_path, suffix):
    path = written(tmp_path, suffix)
    rows, numbers = read(path, quoting=True if suffix == ".tsv" else None)
    assert rows == ROWS
    assert numbers == {".csv": [2, 3, 5], ".tsv": [2, 3, 5], ".jsonl": [1, 3, 5]}.get(suffix, [1, 2, 3])
    assert len(TablePlace(str(path)).content_hash()) >= 16


def test_class_indices_of_a_data_set_are_read_as_names(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "saved")
    rows.to_parquet(str(tmp_path / "saved.parquet"))
    for path in (tmp_path / "saved", tmp_path / "saved.parquet"):
        assert [row["label"] for row in read(path)[0]] == ["yes", "no", None]
    with pytest.raises(
        UserError, match=r"the split 'dev' in .*saved; found train. Set data.validation to one of these"
    ):
        TablePlace("dev", dataset=str(tmp_path / "saved"), setting="validation").open()


README = """---
configs:
- config_name: news
  default: true
  data_files:
  - {split: learn, path: news/train.parquet}
  - {split: held_out, path: news/dev.parquet}
- config_name: mail
  data_files:
  - {split: train, path: mail/*.parquet}
---
"""


def test_a_directory_in_the_layout_of_the_hub_has_configurations_and_splits(tmp_path):
    hub, cache = tmp_path / "hub", str(tmp_path / "cache")
    for path in ("news/train", "news/dev", "mail/0", "mail/1"):
        (hub / path).parent.mkdir(exist_ok=True, parents=True)
        pq.write_table(pa.table({"text": [path], "label": [path[0]]}), hub / f"{path}.parquet")
    (hub / "README.md").write_text(README)

    def texts(split, config=None, name=hub):
        table = TablePlace(split, dataset=str(name), dataset_config=config, cache_dir=cache).open()
        return [text for chunk in table.chunks() for text in chunk.columns["text"]]

    assert (texts("learn"), texts("held_out", "news")) == (["news/train"], ["news/dev"])
    assert texts("train", "mail") == ["mail/0", "mail/1"]
    with pytest.raises(UserError, match=r"the split 'train' in .*hub; found learn, held_out. Set data.train to one"):
        texts("train")
    with pytest.raises(UserError, match=r"ValueError: BuilderConfig 'post' not found. Available: .'news', 'mail'"):
        texts("train", "post")
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv/train.csv").write_bytes(b"text,label\n\xa4,x\n")
    with pytest.raises(UserError, match=r"the data set .*csv .*; found UnicodeDecodeError: 'utf-8' codec can't decode"):
        texts("train", name=tmp_path / "csv")


def test_class_names_of_a_directory_in_the_layout_of_the_hub(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    (tmp_path / "hub").mkdir()
    rows.to_parquet(str(tmp_path / "hub/train.parquet"))
    place = TablePlace("train", dataset=str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))
    (chunk,) = place.open().chunks()
    assert list(chunk.columns["label"]) == ["yes", "no"]
    assert place.content_hash() == place.content_hash()


def test_tsv_keeps_quotation_marks_and_warns_if_fields_look_quoted(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_bytes(b'\xef\xbb\xbfbody\ttopic\r\na "b\tx\r\n"c"\ty\r\n')
    with pytest.warns(UserWarning, match="1 of 2 rows of .* have a field in quotation marks"):
        assert read(path)[0] == [{"body": 'a "b', "topic": "x"}, {"body": '"c"', "topic": "y"}]
    assert read(path, quoting=True)[0][1]["body"] == "c"
    assert read(path, header=("a", "b"), quoting=True)[0][0] == {"a": "body", "b": "topic"}


def test_another_encoding_is_a_setting(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes("body;topic\nünï;x\n".encode("cp1252"))
    assert read(path, encoding="cp1252", delimiter=";")[0] == [{"body": "ünï", "topic": "x"}]
    with pytest.raises(UserError, match=r"text in UTF-8 in .*table.csv, line 2; found the byte 0xfc. Convert the file"):
        read(path)
    for encoding in ("utf-16", "klingon"):
        with pytest.raises(UserError, match=f"--data.encoding that extends ASCII.*; found '{encoding}'"):
            TextFormat(encoding=encoding)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "a header line with column names in .*t.csv; found an empty file"),
        ("t.csv", "a,b,a\n1,2,3\n", "different column names in .*t.csv; found 'a' twice"),
        ("t.csv", "a,b\n1,2\n3\n", "2 fields in .*t.csv, line 3, as in the header; found 1"),
        ("t.csv", 'a,b\n"1\n2",2\n3,4,5\n', "2 fields in .*t.csv, line 4, as in the header; found 3"),
        (
            "t.csv",
            'a,b\n"1\n2,3\n',
            "CSV in .*t.csv, line 3 of the row that begins in line 2; found a quotation mark tha",
        ),
        ("t.csv", 'a,b\n"1"x,2\n', "CSV in .*t.csv, line 2; found text after the closing quotation mark of a field"),
        ("t.csv", "a,b\n1\rx,2\n", "CSV in .*t.csv, line 2; found a carriage return inside a line"),
        ("t.tsv", "a\tb\n1\n", "2 fields in .*t.tsv, line 2, as in the header; found 1. Remove the tab or line break"),
        ("t.jsonl", "", "JSON objects in .*t.jsonl; found an empty file"),
        ("t.jsonl", '{"a": 1}\n{"a": \n', "a JSON object in .*t.jsonl, line 2; found invalid JSON .Expecting value"),
        ("t.jsonl", '{"a": 1, "a": 2}\n', "a JSON object in .*t.jsonl, line 1; found the key 'a' twice"),
        ("t.jsonl", '{"a": NaN}\n', "a JSON object in .*t.jsonl, line 1; found NaN, which is not JSON"),
        ("t.jsonl", "[1]\n", "a JSON object in .*t.jsonl, line 1; found a list. Write an object per line: jq -c"),
        (
            "t.json",
            '[\n {"a": 1}\n]',
            "a JSON object in .*t.json, line 1; found a list. Write an object per line: jq -c",
        ),
        (
            "t.jsonl",
            '{"a": "\\ud83d\\ude00"}\n{"b": [{"c": "\\uD83D"}]}\n',
            r"Unicode texts in .*t.jsonl, line 2; found .ud83d, ha",
        ),
        ("t.jsonl", '{"\\udc00": 1}\n', r"Unicode texts in .*t.jsonl, line 1; found .udc00, half of a character"),
        ("t.jsonl", '"a"\n', "a JSON object in .*t.jsonl, line 1; found a str"),
        ("t.jsonl", '{"a": ' + "[" * 100_000, "a JSON object in .*t.jsonl, line 1; found maximum recursion depth"),
        ("t.parquet", "PAR1", "a Parquet file at .*t.parquet; found "),
        ("t.xlsx", "", "a table with one of the suffixes .csv, .tsv, .*; found .*t.xlsx. Rename the file"),
    ],
)
def test_malformed_files_are_refused_with_their_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised_by_its_mark(tmp_path, name, encoding):
    (tmp_path / name).write_bytes("\ufeffa,b\n1,2\n".encode(encoding))
    with pytest.raises(
        UserError, match=r"found the byte order mark of UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 .*"
    ):
        read(tmp_path / name)
    (tmp_path / "t.csv").write_bytes(b"a,b\n\xff\xfe,2\n")
    with pytest.raises(UserError, match=r"t.csv, line 2; found the byte 0xff. Convert the file to UTF-8, or set data."):
        read(tmp_path / "t.csv")


def test_missing_files_and_directories(tmp_path):
    with pytest.raises(UserError, match=r"a table at --data.train; found no file .*none.csv. Set data.train to a file"):
        read(tmp_path / "none.csv")
    with pytest.raises(
        UserError, match=r"a directory of save_to_disk at .*; found neither dataset_dict.json nor state"
    ):
        read(tmp_path)
    with pytest.raises(
        UserError, match=r"the data set no/such on the hub, in the cache or in a .*; found .*data.dataset_config"
    ):
        TablePlace("train", dataset="no/such").open()
    with pytest.raises(UserError, match=r"a single character for data.delimiter; found ', '"):
        TextFormat(delimiter=", ")


def test_a_field_cannot_grow_without_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("acl_lightning.table_files.delimited.MAX_FIELD", 200_000)
    (tmp_path / "t.csv").write_text('a,b\n"1,2\n' + "3,4\n" * 60_000)
    with pytest.raises(UserError, match=r"line \d+ of the row that begins in line 2; found a field that is too long"):
        read(tmp_path / "t.csv")


@settings(max_examples=150)
@given(st.text(alphabet='a1,"\n\r ;é', max_size=40))
@example('x,"a""b"\n')
@example('"x\r\ny",z\r\n\r\n')
@example("a,b\r\r\n")
def test_csv_text_is_read_like_an_independent_reader_or_refused_with_its_line(tmp_path_factory, body):
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(f"t,l\n{body}".encode())
    expected = read_csv(f"t,l\n{body}")
    if expected is None or any(len(fields) != 2 for _, fields in expected):
        with pytest.raises(UserError, match=r"fuzz.csv, line \d+"):
            read(path)
        return
    rows, numbers = read(path)
    assert [(number, list(row.values())) for number, row in zip(numbers, rows, strict=True)] == expected[1:]


@settings(max_examples=50)
@given(
    st.lists(st.fixed_dictionaries({"t": st.text(max_size=5), "l": st.integers() | st.text(max_size=3)}), min_size=1),
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from(['"', "{", "}", "\n", ",", "\\", "0", ":"])), max_size=3),
)
def test_json_lines_are_read_like_an_independent_reader_or_refused_with_their_line(tmp_path_factory, rows, edits):
    text = "\n".join(json.dumps(row) for row in rows)
    for position, character in edits:
        text = text[: position % (len(text) + 1)] + character + text[position % (len(text) + 1) :]
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_bytes(text.encode())
    expected = {n: parsed(line) for n, line in enumerate(text.split("\n"), 1) if line.strip()}
    if None in expected.values() or not expected:
        with pytest.raises(UserError, match=r"fuzz.jsonl(, line \d+|; found an empty file)"):
            read(path)
        return
    lines, numbers = read(path)
    assert list(expected) == numbers
    for number, row in zip(numbers, lines, strict=True):
        assert {key: value for key, value in row.items() if key in expected[number]} == expected[number]


def parsed(line):
    """The object in a line; None where there is none, or a key is repeated."""
    try:
        pairs = json.loads(line, object_pairs_hook=lambda pairs: pairs if pairs else {})
    except ValueError:
        return None
    if pairs == {}:
        return {}
    is_object = isinstance(pairs, list) and all(isinstance(pair, tuple) for pair in pairs)
    row = dict(pairs) if is_object and line.strip().startswith("{") else None
    return row if row is not None and len(row) == len(pairs) else None
