"""Table of the GLUE tasks."""

import pytest

from acl_lightning.data.tasks import TASKS, task_info
from acl_lightning.errors import UserError


def test_the_table_has_the_nine_tasks():
    assert set(TASKS) == {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}
    assert all(name == info.name for name, info in TASKS.items())


@pytest.mark.parametrize(
    ("name", "labels", "metrics"),
    [
        ("cola", ("unacceptable", "acceptable"), ("matthews",)),
        ("sst2", ("negative", "positive"), ("accuracy",)),
        ("mrpc", ("not_equivalent", "equivalent"), ("f1", "accuracy")),
        ("stsb", (), ("pearson", "spearman")),
        ("qqp", ("not_duplicate", "duplicate"), ("f1", "accuracy")),
        ("mnli", ("entailment", "neutral", "contradiction"), ("accuracy",)),
        ("qnli", ("entailment", "not_entailment"), ("accuracy",)),
        ("rte", ("entailment", "not_entailment"), ("accuracy",)),
        ("wnli", ("not_entailment", "entailment"), ("accuracy",)),
    ],
)
def test_labels_are_in_the_order_of_the_hub_and_metrics_are_official(name, labels, metrics):
    info = task_info(name)
    assert (info.label_names, info.metrics) == (labels, metrics)
    assert info.num_labels == (len(labels) or 1)
    assert info.is_regression == (not labels)
    assert len(info.file_labels) == len(labels)


def test_only_test_splits_are_unlabelled():
    for info in TASKS.values():
        for split, file in info.files.items():
            assert (file.label is None) == split.startswith("test"), (info.name, split)
            assert len(file.text) == len(info.text_columns) == len(info.hub_columns)


def test_mnli_has_two_validation_splits():
    info = TASKS["mnli"]
    assert info.validation_splits == ("validation_matched", "validation_mismatched")
    assert info.split("test") == "test_matched"
    assert info.split("validation") == "validation_matched"
    assert info.split("test_mismatched") == "test_mismatched"


@pytest.mark.parametrize(("spelling", "name"), [("SST-2", "sst2"), ("sst_2", "sst2"), ("STS-B", "stsb")])
def test_common_spellings_are_accepted(spelling, name):
    assert task_info(spelling).name == name


def test_the_errors_of_unknown_tasks_and_splits_list_the_known_names():
    with pytest.raises(UserError, match=r"cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli; found 'imdb'"):
        task_info("imdb")
    with pytest.raises(UserError, match=r"a split of rte: train, validation, test; found 'dev'"):
        TASKS["rte"].split("dev")
