"""Settings are flattened and groups named by what sets them apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acl_lightning.studies.settings import flat_settings, labels


def combined(**arguments):
    return {"class_path": "acl_lightning.objectives.WeightedObjective", "init_args": arguments}


def test_objects_lists_null_and_booleans_become_text_and_the_seed_is_left_out():
    config = {
        "seed_everything": 3,
        "run_dir": "runs/a",
        "trainer": {"enable_progress_bar": False},
        "data": {"seed": 0, "rows": [1, 2], "root": None},
        "model": {"objective": combined(weight=0.5, convex=False), "rule": {"class_path": "rules.Sum"}},
    }
    assert flat_settings(config) == {
        "data.seed": "0",
        "data.rows": "[1, 2]",
        "data.root": "none",
        "model.objective": "acl_lightning.objectives.WeightedObjective",
        "model.objective.weight": "0.5",
        "model.objective.convex": "false",
        "model.rule": "rules.Sum",
    }


def test_a_label_names_only_what_differs_classes_by_their_name():
    ce = {"model": {"objective": combined(auxiliary=None, weight=0.5), "exit_row": "cls"}}
    acl = {
        "model": {
            "objective": combined(auxiliary={"class_path": "o.ACLEmbed", "init_args": {"tau": 0.3}}, weight=0.5),
            "exit_row": "cls",
        }
    }
    assert labels([flat_settings(ce), flat_settings(acl)]) == ["auxiliary=none", "auxiliary=ACLEmbed"]


def test_an_argument_counts_where_those_that_have_it_disagree():
    settings = [{"term": "o.A", "term.tau": "0.1"}, {"term": "o.A", "term.tau": "0.3"}, {"term": "none"}]
    assert labels(settings) == ["term=A, tau=0.1", "term=A, tau=0.3", "term=none"]


def test_keys_with_the_same_ending_keep_as_much_as_tells_them_apart():
    settings = [{"a.x.rate": "1", "a.y.rate": "1"}, {"a.x.rate": "2", "a.y.rate": "3"}]
    assert labels(settings) == ["x.rate=1, y.rate=1", "x.rate=2, y.rate=3"]


def test_a_key_that_is_the_ending_of_another_stays_whole():
    assert labels([{"rate": "1", "x.rate": "1"}, {"rate": "2", "x.rate": "3"}]) == [
        "rate=1, x.rate=1",
        "rate=2, x.rate=3",
    ]


def test_numbers_and_paths_are_not_taken_for_classes():
    assert labels([{"rate": "0.001"}, {"rate": "0.01"}]) == ["rate=0.001", "rate=0.01"]
    assert labels([{"root": "/a/b.c"}, {"root": "/a/d.e"}]) == ["root=/a/b.c", "root=/a/d.e"]


def test_a_setting_that_an_older_version_lacks_is_said_to_be_absent():
    assert labels([{"a": "1"}, {"a": "1", "new": "x"}]) == ["new=absent", "new=x"]


def test_a_single_group_needs_no_label():
    assert labels([{"a": "1"}]) == ["all runs"]


def test_classes_of_one_name_in_two_modules_stay_apart():
    assert labels([{"term": "ours.ACL"}, {"term": "theirs.ACL"}]) == ["term=ours.ACL", "term=theirs.ACL"]


keys = st.sampled_from(["a", "b", "a.a", "b.a", "c.b.a", "a.b"])
groups = st.lists(st.dictionaries(keys, st.sampled_from("123"), min_size=1), min_size=2, max_size=5, unique_by=str)


@given(groups)
def test_labels_are_distinct_for_distinct_settings(settings):
    unique = list({frozenset(one.items()): one for one in settings}.values())
    names = labels(unique)
    assert len(set(names)) == len(unique)


@pytest.mark.parametrize("empty", [{}, {"init_args": {}}])
def test_an_empty_section_leaves_no_key(empty):
    assert flat_settings({"a": empty}) == {}
