"""`table.yaml`: what is read, and what is refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from acl_lightning.errors import UserError
from acl_lightning.studies.comparison import TableSpecification
from acl_lightning.studies.comparison.specification import config_label, same

FULL = """
title: Few-shot
rows:
  CE: objective/ce.yaml
  ACL, tau 0.1: [objective/acl.yaml, objective/tau01.yaml]
  SCL:
    variants: [objective/scl.yaml, {config: objective/scl.yaml, model.optimization.learning_rate: 0.0001}]
columns: [data.task, data.train_rows]
labels: {data.task: {sst2: SST-2}, data.train_rows: {20: N = 20}}
measures: [last_exit, mean_exits, speed2, flops1.5, exits]
baseline: CE
tune: {by: mean_exits, parameters: [model.optimization.learning_rate]}
criterion: confidence
average: true
level: 0.01
resamples: 500
"""


def test_a_full_file_is_read(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text(FULL)
    table = TableSpecification.read(path)
    assert [row.label for row in table.rows] == ["CE", "ACL, tau 0.1", "SCL"]
    assert table.rows[1].variants == ({"config": ["objective/acl.yaml", "objective/tau01.yaml"]},)
    assert table.rows[2].variants[1]["model.optimization.learning_rate"] == 0.0001
    assert table.heading("data.task", "sst2") == "SST-2"
    assert table.heading("data.train_rows", 20) == "N = 20"
    assert table.heading("data.train_rows", None) == "all"
    assert table.measures["speed2"] == "quality at 2x layer speed-up"
    assert table.measures["flops1.5"] == "quality at 1.5x FLOPs speed-up"
    assert (table.baseline, table.criterion, table.level, table.resamples) == ("CE", "confidence", 0.01, 500)
    assert table.tune is not None
    assert table.tune.by == "mean_exits"


def test_an_empty_file_gives_the_defaults():
    table = TableSpecification.from_yaml({})
    assert (list(table.measures), table.baseline, table.rows) == (["last_exit"], None, ())


def test_a_row_matches_the_parameters_that_it_names():
    table = TableSpecification.from_yaml({"rows": {"ACL": {"config": "a.yaml", "tau": 0.1}}})
    (row,) = table.rows
    assert row.matches({"config": ["a.yaml"], "tau": 0.1, "seed_everything": 1})
    assert not row.matches({"config": "a.yaml", "tau": 0.3})
    assert not row.matches({"config": "a.yaml"})
    assert same(["a"], "a")
    assert not same(["a", "b"], "a")
    assert config_label(["objective/acl_cl.yaml", "objective/tau01.yaml"]) == "ACL-CL, tau01"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"colums": ["data.task"]}, ["'colums'", "Did you mean columns?"]),
        ({"rows": ["a.yaml"]}, ["a mapping at rows"]),
        ({"rows": {"CE": 3}}, ["rows with configuration files or parameters", "3"]),
        ({"rows": {"CE": {"variants": []}}}, ["variants: [...]"]),
        (
            {"rows": {"CE": {"variants": ["a.yaml", "b.yaml"]}}},
            ["tune for rows with variants", "tune: {by: mean_exits}"],
        ),
        ({"rows": {"CE": "a.yaml"}, "baseline": "CA"}, ["'CA'", "Did you mean CE?"]),
        ({"columns": [1]}, ["different names at columns"]),
        ({"columns": ["a", "a"]}, ["different names at columns"]),
        ({"measures": []}, ["a measure", "last_exit"]),
        ({"tune": {"parameters": ["a"]}}, ["tune.by"]),
        ({"tune": {"by": "area", "parameter": ["a"]}}, ["'parameter'", "Did you mean parameters?"]),
        ({"curve_speeds": ["layers_speedup"]}, ["'layers_speedup'", "Did you mean layer_speedup?"]),
        ({"level": 2}, ["level"]),
        ({"resamples": "many"}, ["resamples"]),
        ({"average": "yes"}, ["true or false at average"]),
        ({"baseline": 1}, ["a text at baseline"]),
        ("text", ["a mapping at the file"]),
    ],
)
def test_mistakes_are_refused(content, parts):
    with pytest.raises(UserError) as error:
        TableSpecification.from_yaml(content)
    assert all(part in str(error.value) for part in ["table.yaml", *parts]), str(error.value)


def test_missing_and_broken_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        TableSpecification.read(tmp_path / "table.yaml")
    (tmp_path / "table.yaml").write_text("rows: [")
    with pytest.raises(UserError, match="YAML in"):
        TableSpecification.read(tmp_path / "table.yaml")


def test_the_example_of_the_documentation_is_read():
    text = (Path(__file__).parents[3] / "docs/study_statistics.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    table = TableSpecification.from_yaml(yaml.safe_load(example))
    assert (len(table.rows), table.rows[-1].criterion) == (5, "ensemble_entropy")
    assert table.rows[-1].variants == ({"config": "objective/acl.yaml"},)
    names = ("tune", "average", "criterion", "curve_speeds", "level", "resamples")
    assert all(f"\n{name}:" in example for name in names)
    assert (table.level, table.resamples) == (TableSpecification().level, TableSpecification().resamples)
