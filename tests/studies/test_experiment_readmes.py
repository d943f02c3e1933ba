"""What an experiment's README says can be run can be run, and the files it lists are those that are written."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from fabricated_runs import fabricate

from acl_lightning.cli import main
from acl_lightning.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
READMES = sorted((ROOT / "experiments").glob("*/README.md"))
STUDIES = [readme for readme in READMES if "acl_lightning collect" in readme.read_text(encoding="utf-8")]


def commands(readme, start):
    """The indented commands of a README that begin with `start`, as arguments after the program's name."""
    text = readme.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line)[3:] for line in re.findall(rf"^    ({re.escape(start)} .*)$", text, re.MULTILINE)]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
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


@pytest.mark.parametrize("readme", STUDIES, ids=lambda path: path.parent.name)
def test_the_collection_writes_the_files_that_are_listed(readme, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run = fabricate(tmp_path / "run", data__train_rows=1000)
    (command,) = commands(readme, "python -m acl_lightning collect")
    out = Path(command[command.index("--out") + 1])
    assert main(["collect", str(run), *command[2:]]) == 0
    listed = re.findall(r"^\| `(\w+\.\w+)` \|", readme.read_text(encoding="utf-8"), re.MULTILINE)
    assert {path.name.replace("sst2_1000", "TASK_ROWS") for path in out.iterdir()} == set(listed)
    assert out == Path("experiments") / readme.parent.name / "results"
