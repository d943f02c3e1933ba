"""Names of `acl_lightning.exits`, which are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from jsonargparse import ArgumentParser

import acl_lightning.exits as exits
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.entropy import Entropy


def test_every_name_is_that_of_its_module():
    assert set(exits._MODULES) == set(exits.__all__)
    for name, module in exits._MODULES.items():
        assert getattr(exits, name) is getattr(import_module(f"acl_lightning.exits.{module}"), name)
    assert set(exits.__all__) <= set(dir(exits))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'acl_lightning\.exits' has no attribute 'Luck'"):
        exits.Luck  # noqa: B018
    with pytest.raises(ImportError):
        from acl_lightning.exits import Luck  # noqa: F401


@pytest.mark.parametrize(
    "name", ["acl_lightning.exits.Entropy", "acl_lightning.exits.criteria.entropy.Entropy", "Entropy"]
)
def test_a_configuration_names_criteria_by_class_path(name):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--criterion", type=Criterion)
    parsed = parser.parse_args([f"--criterion={name}"])
    if name == "Entropy":
        assert parsed.criterion.class_path in {"acl_lightning.Entropy", "acl_lightning.exits.Entropy"}
    assert isinstance(parser.instantiate_classes(parsed).criterion, Entropy)


def test_class_discovery_knows_the_criteria_before_they_are_used():
    code = (
        "from jsonargparse import ArgumentParser\n"
        "from acl_lightning.callbacks import ExitSweep\n"
        "parser = ArgumentParser(exit_on_error=False)\n"
        "parser.add_class_arguments(ExitSweep, 'sweep')\n"
        "parsed = parser.parse_args(['--sweep.criteria+=PCEE', '--sweep.criteria.bound=0.2'])\n"
        "assert parsed.sweep.criteria[0].class_path in ('acl_lightning.PCEE', 'acl_lightning.exits.PCEE'), parsed\n"
        "assert '.Entropy' in parser.format_help()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
