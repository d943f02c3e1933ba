"""Tests of the reader of texts: headers and labels are never read as texts."""

import json

import pytest

from acl_lightning.errors import UserError
from acl_lightning.latency.texts import read_texts

ONE, TWO = ("sentence",), ("sentence1", "sentence2")
LABELS = ("negative", "positive")
EXPECTED = [('a "fine", film',), ("dull",), ("",)]

TABLES = {
    "a.csv": 'sentence,label\r\n"a ""fine"", film",1\r\ndull,0\r\n"",1\r\n',
    "b.CSV": '\ufefflabel,sentence\n1,"a ""fine"", film"\n0,dull\n\n1,""\n',
    "c.tsv": 'sentence\tlabel\na "fine", film\t1\ndull\t0\n\t1\n',
    "d.jsonl": "\n".join(json.dumps({"label": 1, "sentence": text}) for (text,) in EXPECTED) + "\n\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_column_of_a_table(tmp_path, name):
    path = tmp_path / name
    path.write_text(TABLES[name], encoding="utf-8")
    assert read_texts(path, ONE, 10) == EXPECTED
    assert read_texts(path, ONE, 2) == EXPECTED[:2]
    renamed = tmp_path / f"renamed-{name}"
    renamed.write_text(TABLES[name].replace("sentence", "review"), encoding="utf-8")
    assert read_texts(renamed, ONE, 10, columns=["review"]) == EXPECTED
    with pytest.raises(UserError, match=r"a column 'sentence' in .*; found the columns .*review.*--text_column NAME"):
        read_texts(renamed, ONE, 10)
    with pytest.raises(UserError, match=r"1 column\(s\) in --text_column; found 2"):
        read_texts(path, ONE, 10, columns=["sentence", "label"])


def test_pairs_come_from_two_columns(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("premise,label,hypothesis\na,1,b\n")
    assert read_texts(path, TWO, 10, columns=["premise", "hypothesis"]) == [("a", "b")]
    path = tmp_path / "pairs.txt"
    path.write_text("a\tb\n\nc\td\n")
    assert read_texts(path, TWO, 10) == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    "content",
    [
        "a fine film\n\ndull\n",
        "yes, well, a fine film\nno\n",
        "good, 10\n",
        "in 2019, I saw it\nin 2020, too\n",
        "label\u2028 or not\nsentence of a text\n",
        "text of a letter\nlabel it\n",
    ],
)
def test_plain_lines_are_texts(tmp_path, content):
    path = tmp_path / "texts.txt"
    path.write_text(content, encoding="utf-8")
    assert read_texts(path, ONE, 10, label_names=LABELS) == [(line,) for line in content.split("\n") if line]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("sentence,label\na fine film,1\n", "a header, 'sentence,label'"),
        ('"sentence","label"\n"a fine film",1\n', "a header"),
        ("text\na fine film\n", "a header, 'text'"),
        ("id,review,label\n1,a fine film,1\n", "a header"),
        ("sentence\tlabel\na fine film\t1\n", "a header"),
        ("a fine film,1\ndull,0\n", "labels or numbers in the comma-separated column 2"),
        ("positive,a fine film\nnegative,dull\n", "labels or numbers in the comma-separated column 1"),
        ("a fine film\t1\ndull\t0\n", "labels or numbers in the tab-separated column 2"),
        ('{"sentence": "a fine film"}\n', "JSON objects"),
    ],
)
def test_a_table_that_is_not_named_as_one_is_refused(tmp_path, content, found):
    path = tmp_path / "texts.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=rf"one text per line in .*; found {found}.*--text_column NAME"):
        read_texts(path, ONE, 10, label_names=LABELS)


def test_a_header_of_pairs_is_refused(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("sentence1\tsentence2\na\tb\n")
    with pytest.raises(UserError, match="a header, "):
        read_texts(path, TWO, 10)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"sentence,label\na,b,1\n", r"2 fields in .*a\.csv, line 2; found 3"),
        ("a.csv", b'sentence,label\n"a\n', r"a text file at .*a\.csv; found unexpected end of data"),
        ("a.csv", b"sentence,label\n\xff\xfe,1\n", r"a text file at .*a\.csv; found 'utf-8' codec"),
        ("a.csv", b"", r"texts in .*a\.csv; found none"),
        ("a.csv", b"sentence\n", r"texts in .*a\.csv; found none"),
        ("a.jsonl", b"sentence\n", r"a JSON object in .*a\.jsonl, line 1; found 'sentence'"),
        ("a.jsonl", b'{"sentence": "a"}\n["b"]\n', r"a JSON object in .*, line 2"),
        ("a.jsonl", b'{"sentence": null}\n', r"a text in each row of .*; found none in line 1"),
        ("a.txt", bytes(range(128, 256)), r"a text file at .*a\.txt; found 'utf-8' codec"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_texts(path, ONE, 10)


def test_columns_of_a_file_without_columns(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("a\n")
    with pytest.raises(
        UserError, match=r"a \.csv, \.tsv or \.jsonl file together with --text_column; found texts\.txt"
    ):
        read_texts(path, ONE, 10, columns=["sentence"])
