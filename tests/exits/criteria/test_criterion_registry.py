"""Criteria by name: what is written comes back, and a file makes nothing run that it names."""

import json
import sys

import pytest
import torch

from acl_lightning import exits
from acl_lightning.callbacks.prediction.measured_run import read_operating_point
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    FPABEE,
    PCEE,
    Calibrated,
    Confidence,
    Criterion,
    Ensembled,
    Entropy,
    LearntGate,
    Margin,
    Patience,
    PrototypeMargin,
    Static,
    criterion_class,
    criterion_names,
    from_config,
    register,
    to_config,
)
from acl_lightning.exits.criteria import registry
from acl_lightning.exits.criteria.distribution import DistributionCriterion

ALL = [
    *(Confidence(), Entropy(), Margin(), Patience(), Patience(0.3), PCEE(), PCEE(0.2), FPABEE(0.1), LearntGate()),
    *(Static(), Calibrated(PCEE(0.3), [0.5, 2.0]), Calibrated(Calibrated(Entropy(), [1.0]), [2.0])),
    *(PrototypeMargin(), PrototypeMargin(0.3), Ensembled(Calibrated(PCEE(0.3), [0.5, 2.0]), [[1.0], [0.25, 0.75]])),
]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Each test registers into a copy."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


def doubling(name="doubled", **attributes):
    """A criterion as a user writes it."""

    def of_distribution(self, log_probabilities_EBC):
        return log_probabilities_EBC.amax(dim=-1).exp() * 2 - 1

    attributes = {"of_distribution": of_distribution, "__module__": "mine", "__qualname__": "Doubled", **attributes}
    return type("Doubled", (DistributionCriterion,), attributes | ({"name": name} if name else {}))


def attributes(criterion):
    return {
        key: attributes(value) if isinstance(value, Criterion) else value for key, value in vars(criterion).items()
    } | {"class": type(criterion)}


@pytest.mark.parametrize("criterion", ALL, ids=lambda criterion: criterion.name)
def test_every_criterion_comes_back_from_json(criterion):
    stored = json.loads(json.dumps(to_config(criterion)))
    assert set(stored) == {"name", "settings"}
    assert attributes(from_config(stored)) == attributes(criterion)


def test_every_criterion_of_the_package_is_registered():
    kinds = {
        kind
        for kind in vars(exits).values()
        if isinstance(kind, type) and issubclass(kind, Criterion) and kind is not Criterion
    }
    assert kinds == set(registry.BUILT_IN)
    assert criterion_names() == [kind.name for kind in registry.BUILT_IN]


@pytest.mark.parametrize("package", ["exits", "exits.pcee", "exits.criteria.pcee"])
def test_descriptions_of_earlier_versions_are_read(package):
    inside = {"class_path": f"acl_lightning.{package}.PCEE", "init_args": {"bound": 0.3}}
    outer = {
        "class_path": f"acl_lightning.{package}.Calibrated",
        "init_args": {"criterion": inside, "temperatures_E": [1.0, 2.0]},
    }
    criterion = from_config(outer)
    assert attributes(criterion) == attributes(Calibrated(PCEE(0.3), [1.0, 2.0]))


def test_a_result_that_names_a_command_does_not_run_it(tmp_path):
    witness = tmp_path / "ran"
    command = {"class_path": "os.system", "init_args": {"command": f"touch {witness}"}}
    inside = {"name": "calibrated", "settings": {"criterion": command, "temperatures_E": [1.0]}}
    for hostile in (command, inside, {**command, "name": "entropy", "settings": command}, {"name": "os.system"}):
        content = {"recommended": {"drop1": {"threshold": 0.5, "exit": hostile}}, "checkpoint": "x/best.ckpt"}
        (tmp_path / "result.json").write_text(json.dumps(content))
        with pytest.raises(UserError):
            read_operating_point(tmp_path / "checkpoints/best.ckpt", "drop1")
    assert not witness.exists()


def test_a_name_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for hostile in (
        {"class_path": "planted.Criterion", "init_args": {}},
        {"name": "planted.Criterion", "settings": {}},
        {"name": "mine", "class_path": "planted.Criterion", "settings": {}},
        {"class_path": "acl_lightning.exits.evaluation.sweep.sweep", "init_args": {}},
        {"class_path": "acl_lightning.exits.planted.Criterion", "init_args": {}},
        {"class_path": "acl_lightning.exits_planted.PCEE", "init_args": {}},
    ):
        with pytest.raises(UserError, match=r"an exit criterion among .*; found .*--trust"):
            from_config(hostile)
    assert not (tmp_path / "ran").exists()
    assert "planted" not in sys.modules


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        "entropy",
        [],
        {},
        {"name": 3},
        {"name": "pcee", "settings": {"unknown": 1}},
        {"name": "pcee", "settings": {"bound": "wide"}},
        {"name": "pcee", "settings": [1]},
        {"name": "pcee", "settings": {"bound": 7}},
        {"name": "calibrated", "settings": {"criterion": "entropy", "temperatures_E": [1.0]}},
        {"name": "calibrated", "settings": {}},
        {"class_path": 3, "init_args": {}},
        {"class_path": "acl_lightning.exits.Criterion", "init_args": {}},
    ],
)
def test_a_damaged_description_gets_one_line(damaged):
    with pytest.raises(UserError):
        from_config(damaged)


def test_a_registered_criterion_is_as_good_as_ours():
    kind = register(doubling())
    assert criterion_class("doubled") is kind
    stored = to_config(Calibrated(kind(), [2.0]))
    assert stored["settings"]["criterion"] == {"name": "doubled", "class_path": "mine.Doubled", "settings": {}}
    assert isinstance(from_config(stored).criterion, kind)
    assert isinstance(from_config({"class_path": "mine.Doubled", "init_args": {}}), kind)
    again = register(doubling())  # the notebook's cell, run again
    assert criterion_class("doubled") is again
    assert again().certainty(torch.tensor([[[0.0, 0.0]]])).item() == pytest.approx(0, abs=1e-6)


def test_what_cannot_be_registered_says_why():
    with pytest.raises(UserError, match="a concrete subclass of Criterion; found"):
        register(DistributionCriterion)
    with pytest.raises(UserError, match="a concrete subclass of Criterion; found"):
        register(dict)
    with pytest.raises(UserError, match=r"a name of mine\.Doubled; found None"):
        register(doubling(name=None))
    with pytest.raises(UserError, match=r"a new name for mine\.Doubled; found 'entropy' of acl_lightning"):
        register(doubling(name="entropy"))


def test_an_installed_package_offers_criteria_by_entry_point(tmp_path, monkeypatch):
    (tmp_path / "offering.py").write_text(
        "from acl_lightning.exits import Confidence\nclass Mine(Confidence):\n    name = 'offered'\n"
    )
    metadata = tmp_path / "offering-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[acl_lightning.criteria]\noffered = offering:Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "offered" in criterion_names()
    assert "offering" not in sys.modules  # listing imports nothing
    assert criterion_class("offered").__module__ == "offering"
    assert from_config({"name": "offered", "settings": {}}).name == "offered"
    monkeypatch.delitem(sys.modules, "offering")


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(
        UserError, match=r"a criterion among confidence, entropy, .*, calibrated, ensemble; found 'luck'\."
    ):
        criterion_class("luck")
