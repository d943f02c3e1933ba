"""Commands that are not the Trainer's: found by name, listed by --help, imported only when called."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from acl_lightning.cli import commands, main
from acl_lightning.cli.commands import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_main_that_explains_itself(name, capsys):
    assert callable(importlib.import_module(COMMANDS[name].module).main)
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"acl_lightning {name}" in capsys.readouterr().out


def test_a_command_gets_the_arguments_after_its_name_and_gives_the_exit_code(monkeypatch):
    calls = []

    class Module:
        @staticmethod
        def main(arguments):
            calls.append(arguments)
            return 3

    monkeypatch.setattr(commands.importlib, "import_module", lambda name: {COMMANDS["curves"].module: Module}[name])
    assert main(["curves", "a", "--out", "b"]) == 3
    assert calls == [["a", "--out", "b"]]


def test_what_is_no_command_of_its_own_is_the_trainers():
    assert commands.find(["fit", "curves"]) is None
    assert commands.find([]) is None


def test_help_lists_them():
    shown = subprocess.run(
        [sys.executable, "-m", "acl_lightning", "--help"], check=True, capture_output=True, text=True
    )
    for name, command in COMMANDS.items():
        assert f"{name}: {command.help}" in " ".join(shown.stdout.split())


def test_the_table_itself_imports_nothing():
    code = "import sys, acl_lightning.cli.commands; assert not {'torch', 'lightning', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["serve"], "found serve."),
        (["fti", "--config=x"], "found fti. Did you mean fit?"),
        (["latencies"], "Did you mean latency?"),
        ([], "found none."),
    ],
)
def test_an_unknown_command_is_answered_with_all_of_them(arguments, expected, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["acl_lightning"])
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1
    assert expected in message
    for name in ("fit", "validate", "test", "predict", *COMMANDS):
        assert name in message


def test_a_misspelt_option_of_a_command_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["latency", "RUN", "--out", "OUT", "--bacth-sizes", "1"])
    assert stop.value.code == 2
    assert "Did you mean --batch" in capsys.readouterr().err
