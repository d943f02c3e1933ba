"""Names of groups: of their configuration files, or given on the command line."""

from __future__ import annotations

import csv

import pytest
from fabricated_runs import fabricate

from acl_lightning.cli import main
from acl_lightning.errors import UserError
from acl_lightning.studies.grouping import configuration_names, group_runs, readable, renamed
from acl_lightning.studies.reading import read_run


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("acl", "ACL"),
        ("ce", "CE"),
        ("acl_cl", "ACL-CL"),
        ("acl_embed_sum", "ACL embed sum"),
        ("two_stage", "two stage"),
    ],
)
def test_a_file_name_reads_as_words(stem, name):
    assert readable(stem) == name


SETTINGS = [{"tau": "1"}, {"tau": "2"}, {"tau": "3"}]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ([["glue.yaml", "acl.yaml"], ["glue.yaml", "ce.yaml"]], ["ACL", "CE"]),
        ([["conf/fit/glue.yaml"], ["conf/fit/glue.yaml", "conf/objective/ce.yaml"]], ["glue", "CE"]),
        ([["acl.yaml"], ["acl.yaml"], ["ce.yaml"]], ["ACL, tau=1", "ACL, tau=2", "CE"]),
        ([["glue.yaml"], ["glue.yaml"]], ["glue, tau=1", "glue, tau=2"]),
        ([["acl.yaml"], []], None),
        ([["config.yaml"], ["acl.yaml"]], None),
        ([["acl.yaml"]], None),
    ],
)
def test_groups_are_named_after_the_files_in_which_they_differ(files, names):
    assert configuration_names(files, SETTINGS[: len(files)]) == names


@pytest.mark.parametrize("names", [["A"], ["A", "A"], ["A", ""], ["A", "B", "C"]])
def test_wrong_names_are_refused_with_the_groups_there_are(names):
    with pytest.raises(UserError, match=r"2 different names, one per group; .*in the order of the groups: x; y"):
        renamed(["x", "y", "x"], names)


def named(directory, row, file, **settings):
    return fabricate(directory, changes={"config_files": ["glue.yaml", file]}, model__encoder__exit_row=row, **settings)


def test_runs_are_named_after_their_files_and_the_settings_are_said_below(tmp_path, capsys):
    runs = [named(tmp_path / "a", "cls", "acl.yaml"), named(tmp_path / "b", "probe", "ce.yaml")]
    assert [group.label for group in group_runs([read_run(run) for run in runs])] == ["ACL", "CE"]
    assert main(["collect", *map(str, runs), "--out", str(tmp_path / "out")]) == 0
    assert "CE: exit_row=probe." in (tmp_path / "out" / "summary.md").read_text()
    with (tmp_path / "out" / "summary.csv").open() as table:
        assert [row["group"] for row in csv.DictReader(table)] == ["ACL", "CE"]


def test_names_are_given_once_for_the_same_groups_of_several_tasks(tmp_path):
    runs = [
        fabricate(tmp_path / f"{task}-{row}", task=task, model__encoder__exit_row=row)
        for task in ("sst2", "rte")
        for row in ("cls", "probe")
    ]
    assert main(["collect", *map(str, runs), "--out", str(tmp_path / "out"), "--names", "ours, baseline"]) == 0
    with (tmp_path / "out" / "summary.csv").open() as table:
        assert [row["group"] for row in csv.DictReader(table)] == ["ours", "baseline"] * 2


def test_curves_take_names(tmp_path, capsys):
    from stored_runs import stored_run

    runs = [stored_run(tmp_path / row, model__encoder__exit_row=row) for row in ("cls", "probe")]
    out = tmp_path / "out"
    assert main(["curves", *map(str, runs), "--out", str(out), "--names=ours,baseline"]) == 0
    with (out / "scores.csv").open() as table:
        assert [row["group"] for row in csv.DictReader(table)] == ["ours", "baseline"]
    assert "ours: exit_row=cls." in (out / "summary.md").read_text()
    capsys.readouterr()
    assert main(["curves", *map(str, runs), "--out", str(out), "--names=ours"]) == 2
    assert "Set --names in the order of the groups: exit_row=cls; exit_row=probe." in capsys.readouterr().err
