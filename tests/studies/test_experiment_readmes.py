"""Commands and targets in the READMEs of experiments exist and are understood."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from acl_lightning.cli import main
from acl_lightning.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
READMES = sorted((ROOT / "experiments").glob("*/README.md"))


def commands(readme, start):
    """The indented commands of a README that begin with `start`, as arguments after the program's name."""
    text = readme.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line)[3:] for line in re.findall(rf"^    ({re.escape(start)} .*)$", text, re.MULTILINE)]


WITH_RUNS = [
    readme
    for readme in READMES
    if any(typed[0] not in COMMANDS for typed in commands(readme, "python -m acl_lightning"))
]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_a_readme_has_a_command_and_its_targets_exist(readme):
    text = readme.read_text(encoding="utf-8")
    targets = re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.MULTILINE)
    assert targets or commands(readme, "python -m acl_lightning")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("readme", WITH_RUNS, ids=lambda path: path.parent.name)
def test_runs_are_understood(readme, monkeypatch, tmp_path, capsys):
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["acl_lightning"])
    found = [typed for typed in commands(readme, "python -m acl_lightning") if typed[0] not in COMMANDS]
    assert found
    for subcommand, *arguments in found:
        with pytest.raises(SystemExit) as stop:
            main([subcommand, *arguments, "--print_config"])
        printed = capsys.readouterr()
        assert (stop.value.code, printed.err) == (0, "")
        assert "exit_row: " in printed.out
