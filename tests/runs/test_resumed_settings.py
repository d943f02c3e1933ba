"""Which settings a resumed run may change."""

import inspect

import pytest
import yaml

from acl_lightning.data import TableDataModule
from acl_lightning.errors import UserError
from acl_lightning.runs.checkpoints import run_of
from acl_lightning.runs.session.resumed_settings import APPLIED, WITHOUT_EFFECT, changed_settings, differences

OBJECTIVE = {
    "class_path": "WeightedObjective",
    "init_args": {"auxiliary": {"class_path": "ACF", "init_args": {"rho": 0.1}}},
}
STORED = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 2, "precision": None, "callbacks": None, "logger": {"class_path": "CSVLogger"}},
    "model": {"objective": OBJECTIVE, "optimization": {"learning_rate": 0.1, "weight_decay": 0.0}},
    "data": {"batch_size": 8, "num_workers": 0},
    "exit_sweep": {"max_drops": [1.0]},
}


def changed(key: str, value: object) -> dict:
    """`STORED` with another value."""
    settings = yaml.safe_load(yaml.safe_dump(STORED))
    *sections, name = key.split(".")
    place = settings
    for section in sections:
        place = place[section]
    place[name] = value
    return settings


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(STORED))
    return tmp_path


def test_equal_settings_differ_in_nothing(run):
    assert changed_settings(run, STORED) == []


@pytest.mark.parametrize(("key", "value", "message"), [
    ("seed_everything", 1, "seed_everything: 0 -> 1"),
    ("trainer.precision", "bf16-mixed", "trainer.precision: null -> bf16-mixed"),
    ("model.optimization.learning_rate", 0.2, "model.optimization.learning_rate: 0.1 -> 0.2"),
    ("model.objective.init_args.auxiliary.init_args.rho", 0.2, "model.objective.auxiliary.rho: 0.1 -> 0.2"),
    ("model.objective.init_args.auxiliary.class_path", "SCL", "model.objective.auxiliary: ACF -> SCL"),
    ("model.objective", None, "model.objective: WeightedObjective -> null"),
    ("data.new", 3, "data.new: (absent) -> 3"),
])  # fmt: skip
def test_what_would_stay_in_force_is_refused_by_name(key, value, message, run):
    with pytest.raises(UserError) as error:
        changed_settings(run, changed(key, value))
    assert error.value.found == message


def test_settings_that_the_version_of_the_run_did_not_have_count_as_their_default(run):
    settings = changed("data.selection", "validation")
    settings["data"]["selection_rows"] = None
    assert changed_settings(run, settings) == []
    settings["data"]["selection"] = "train"
    with pytest.raises(UserError, match=r"data.selection: \(absent\) -> train"):
        changed_settings(run, settings)


def test_every_refused_setting_is_named(run):
    settings = changed("data.batch_size", 4) | {"seed_everything": 3}
    with pytest.raises(UserError, match=r"data\.batch_size: 8 -> 4; seed_everything: 0 -> 3"):
        changed_settings(run, settings)


def test_what_has_no_effect_is_no_difference(run):
    assert changed_settings(run, changed("data.num_workers", 2)) == []
    assert changed_settings(run, changed("trainer.logger", {"class_path": "WandbLogger"})) == []
    assert changed_settings(run, STORED | {"run_dir": "elsewhere", "ckpt_path": "auto"}) == []
    assert changed_settings(run, changed("data.new", None)) == []  # a setting of a later version, switched off


@pytest.mark.parametrize(("key", "value"), [("trainer.max_epochs", 3), ("exit_sweep.max_drops", [2.0])])
def test_what_is_applied_is_a_difference(key, value, run):
    assert [difference.key for difference in changed_settings(run, changed(key, value))] == [key]


def test_callbacks_come_and_go_but_keep_their_arguments():
    stopping = {"class_path": "lightning.EarlyStopping", "init_args": {"patience": 3}}
    watch = {"class_path": "GradientProbe"}
    old = {"trainer": {"callbacks": [stopping, watch]}}
    assert differences(old, {"trainer": {"callbacks": None}}) == []
    assert differences(old, {"trainer": {"callbacks": stopping}}) == []
    other = {"trainer": {"callbacks": [stopping | {"init_args": {"patience": 9}}]}}
    assert [str(one) for one in differences(old, other)] == ["EarlyStopping.patience: 3 -> 9"]


def test_without_a_configuration_nothing_can_be_resumed(tmp_path):
    with pytest.raises(UserError, match=r"config\.yaml; found no such file"):
        changed_settings(tmp_path, STORED)


def test_the_run_of_a_checkpoint(tmp_path):
    assert run_of(tmp_path / "run/checkpoints/last.ckpt") == tmp_path / "run"
    assert run_of(tmp_path / "run/hpc_ckpt_1.ckpt") == tmp_path / "run"


def test_every_setting_of_the_tables_exists(command, tmp_path):
    """A setting that was renamed would be refused from then on."""
    run = tmp_path / "run"
    assert command("fit", f"--run_dir={run}", "--trainer.fast_dev_run=true")[0] == 0
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["data"] |= dict.fromkeys(inspect.signature(TableDataModule).parameters)
    for key in WITHOUT_EFFECT | APPLIED:
        place = settings
        for name in key.split("."):
            assert name in place, key
            place = place[name]
