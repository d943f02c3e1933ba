"""The studies in `experiments/`: sweeps, tables and Makefile targets fit together, and `fit` accepts their settings."""

import re
from pathlib import Path

import pytest
import yaml

from acl_lightning.studies.comparison.columns import with_condition
from acl_lightning.studies.comparison.specification import TableSpecification
from acl_lightning.studies.trials.sweep import Sweep

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "experiments").glob("*/sweep.yaml"))
STUDIES = pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.parent.name)


def trials(path, tmp_path, monkeypatch):
    """The trials of a sweep, from the top of the repository."""
    monkeypatch.chdir(ROOT)
    return Sweep.read(path).trials(tmp_path)


@STUDIES
def test_every_trial_belongs_to_one_row_and_every_row_has_trials(path, tmp_path, monkeypatch):
    specification = TableSpecification.read(path.with_name("table.yaml"))
    rows = specification.rows
    seen, conditions = set(), set()
    for trial in trials(path, tmp_path, monkeypatch):
        parameters = with_condition(trial, specification.conditions).parameters
        matching = [row.label for row in rows if row.matches(parameters)]
        assert len(matching) == 1, trial.parameters
        seen.add(matching[0])
        conditions.add(parameters.get("condition"))
    assert seen == {row.label for row in rows}
    assert conditions == (set(specification.conditions) or {None})


@STUDIES
def test_columns_are_parameters_of_the_sweep(path):
    specification = TableSpecification.read(path.with_name("table.yaml"))
    parameters = yaml.safe_load(path.read_text(encoding="utf-8"))["parameters"]
    assert set(specification.columns) - {"condition"} <= set(parameters)
    assert set(specification.labels) <= set(parameters)


def test_rows_that_are_tuned_have_equal_numbers_of_settings():
    for path in SWEEPS:
        specification = TableSpecification.read(path.with_name("table.yaml"))
        if specification.tune:
            assert len({len(row.variants) for row in specification.rows}) == 1, path


@STUDIES
def test_fit_accepts_every_configuration_and_value(path, tmp_path, monkeypatch):
    """All configuration files in one command line, since each parse takes a second."""
    from acl_lightning.cli.study import parsing

    monkeypatch.setattr("sys.argv", ["acl_lightning"])
    monkeypatch.setenv("ACL_LIGHTNING_GLUE", str(tmp_path))
    files, methods, others = [], [], {}
    for trial in trials(path, tmp_path, monkeypatch):
        config = trial.parameters.get("config", [])
        (methods if isinstance(config, str) else files).extend([config] if isinstance(config, str) else config)
        others |= {name: value for name, value in trial.parameters.items() if name != "config"}
    base = [item for item in trial.command if item.endswith(".yaml")]
    files = list(dict.fromkeys([*base, *files, *methods]))  # files that modify a method directly after it
    settings = [f"--{name}={'null' if value is None else value}" for name, value in others.items()]
    assert parsing.error_message(["fit", *(f"--config={name}" for name in files), *settings]) is None


def test_every_study_has_a_target_a_question_and_a_command():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for folder in (path.parent for path in SWEEPS):
        target = folder.name.replace("_", "-")
        assert re.search(rf"^{target}: ## \S", makefile, re.MULTILINE), target
        readme = (folder / "README.md").read_text(encoding="utf-8")
        assert readme.startswith("# "), folder
        assert f"make {target} " in readme, folder
        assert Sweep.read(folder / "sweep.yaml").name == target
