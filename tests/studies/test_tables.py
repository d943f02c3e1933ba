"""Tables as Markdown, in a terminal and as CSV."""

import io

import pytest
from rich.console import Console

from acl_lightning.studies.report import Report
from acl_lightning.studies.statistics import Spread
from acl_lightning.studies.tables import Table, csv_text

TABLE = Table("title", ["group", "n", "exit 1"], [["exits=[a]|b", "2", "80.0 ± 1.0"], ["x", "1"]])


def test_markdown_is_padded_and_aligned():
    assert TABLE.markdown().splitlines() == [
        "| group        | n |     exit 1 |",
        "|--------------|--:|-----------:|",
        "| exits=[a]\\|b | 2 | 80.0 ± 1.0 |",
        "| x            | 1 |            |",
    ]


def test_a_terminal_shows_labels_with_brackets_as_they_are():
    console = Console(file=io.StringIO(), width=80)
    console.print(TABLE.rich())
    assert "exits=[a]|b" in console.file.getvalue()


def test_csv_has_the_columns_of_all_rows_and_eight_digits():
    assert csv_text([{"a": 1 / 3}, {"b": None, "c": "x"}]) == "a,b,c\n0.33333333,,\n,,x\n"


@pytest.mark.parametrize(
    ("value", "arguments", "text"),
    [
        (Spread(0.8, 0.0123, 3), (100, 1), "80.0 ± 1.2"),
        (Spread(0.8, None, 1), (), "0.80"),
        (Spread(12.34, 1.0, 2), (), "12.3 ± 1.0"),
        (Spread(None, None, 2), (), "undefined"),
    ],
)
def test_a_mean_is_written_with_its_deviation(value, arguments, text):
    assert value.text(*arguments) == text


def test_a_mean_has_two_columns():
    assert Spread(0.8, None, 1).columns("area") == {"area_mean": 0.8, "area_std": None}


def test_a_report_is_tables_then_notes():
    text = Report([], [], [TABLE], ["Careful."], {}).markdown()
    assert text.startswith("title:\n\n| group ")
    assert text.endswith("|\n\n- Careful.\n")
