"""Names of commands, help, and which libraries a command imports."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from acl_lightning.cli import commands, main
from acl_lightning.cli.commands import (
    COMMANDS,
    EXAMPLES,
    EXPLANATIONS,
    HELP_ALL,
    SECTIONS,
    STUDY_COMMANDS,
    TRAINER_COMMANDS,
)


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


def test_a_command_of_the_trainer_gets_the_whole_command_line(monkeypatch):
    calls = []
    monkeypatch.setattr("acl_lightning.cli.trainer.run_trainer", lambda args, session: calls.append(args) or 0)
    assert main(["fit", "curves"]) == 0
    assert calls == [["fit", "curves"]]


#: Libraries that take seconds to import.
SLOW = {"torch", "lightning", "transformers", "jsonargparse", "matplotlib"}


def run_alone(*arguments):
    """Run the command line in a process of its own. Returns exit code, output, and which of `SLOW` it imported."""
    code = (
        "import sys\nfrom acl_lightning.cli import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as stop:\n    code = stop.code\n"
        f"print(code, sorted({SLOW} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    *shown, last = done.stdout.splitlines()
    exit_code, _, imported = last.partition(" ")
    return int(exit_code), "\n".join(shown) + done.stderr, imported


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_command_and_imports_nothing_slow(option):
    code, shown, imported = run_alone(option)
    assert (code, imported) == (0, "[]")
    words = " ".join(shown.split())
    for name, command in COMMANDS.items():
        assert f"{name} {command.help}" in words
    for name, description in TRAINER_COMMANDS.items():
        assert f"{name} {description}" in words


@pytest.mark.parametrize("arguments", [(), ("fti",), ("latency",), ("collect", "run", "--colour")])
def test_a_mistyped_command_imports_nothing_slow(arguments):
    code, shown, imported = run_alone(*arguments)
    assert (code, imported) == (2, "[]")
    assert shown.startswith("error: ")


@pytest.mark.parametrize("name", [*COMMANDS, *(f"study {name}" for name in STUDY_COMMANDS)])
def test_help_of_a_command_is_grouped_with_defaults_and_an_example_and_imports_nothing_slow(name):
    code, shown, imported = run_alone(*name.split(), "--help")
    assert (code, imported) == (0, "[]")
    assert f"usage: acl_lightning {name}" in shown
    assert f"python -m acl_lightning {name} " in shown.partition("example:")[2]
    groups = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert len(groups) >= 3
    options = shown.partition("options:")[0] + shown.partition("options:")[2]
    assert "(default: None)" not in options


def test_latency_knows_the_modes_of_the_runtime():
    from acl_lightning.cli.latency import MODES
    from acl_lightning.exits.inference import MODES as runtime_modes

    assert list(MODES) == list(runtime_modes)


@pytest.mark.parametrize("name", TRAINER_COMMANDS)
def test_help_of_a_trainer_command_lists_its_sections_and_imports_nothing_slow(name):
    code, shown, imported = run_alone(name, "--config=anything.yaml", "--help")
    assert (code, imported) == (0, "[]")
    words = " ".join(shown.split())
    for option, description in {**SECTIONS, **EXPLANATIONS}.items():
        assert f"{option} {description}" in words
    assert shown.startswith(f"usage: acl_lightning {name} ")
    assert shown.endswith(f"python -m acl_lightning {EXAMPLES[name]}")


@pytest.mark.parametrize("name", TRAINER_COMMANDS)
def test_help_of_a_trainer_command_lists_all_settings(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["acl_lightning"])
    with pytest.raises(SystemExit) as stop:
        main([name, HELP_ALL])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert TRAINER_COMMANDS[name].lower() in " ".join(shown.lower().split())
    for section in SECTIONS:
        assert section.removesuffix("*") in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train"], "found train."),
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
