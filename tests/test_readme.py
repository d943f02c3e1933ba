"""Every example of the README runs."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)[3:]
    for line in re.findall(r"^\$ (python -m acl_lightning .*)$", README, re.MULTILINE)
]


def test_the_tour_in_plain_torch(capsys):
    torch.manual_seed(0)
    exec(EXAMPLES[0], {})
    assert capsys.readouterr().out.strip() in {"True", "False"}


def test_the_objective_of_ones_own():
    from acl_lightning.objectives import WeightedObjective
    from acl_lightning.outputs import ExitOutputs

    names: dict = {}
    exec(EXAMPLES[1], names)
    outputs = ExitOutputs(torch.zeros(2, 3, 4), torch.zeros(2, 3, 2), torch.ones(2, 2, 4))
    terms = WeightedObjective(names["CenterLoss"]())(outputs, torch.tensor([0, 1, 1]))
    assert terms["center"].item() == pytest.approx(1.0)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_is_understood(arguments, tmp_path, monkeypatch, capsys):
    """Parsed and resolved, with RUN being a directory whose configuration is that of the quickstart."""
    from acl_lightning.cli import commands, main

    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text((ROOT / "conf/quickstart.yaml").read_text())
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["acl_lightning"])
    resolved = [argument.replace("RUN", str(run)).replace("OUT", str(tmp_path)) for argument in arguments]
    own = resolved[0] in commands.COMMANDS
    with pytest.raises(SystemExit) as stop:
        main([resolved[0], "--help"] if own else [*resolved, "--print_config"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "run_dir:" in shown or own
    assert not own or all(argument in shown for argument in resolved if argument.startswith("--"))


def test_every_path_it_names_exists():
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"--config (conf/[\w/]+\.yaml)", README):
        assert (ROOT / path).is_file(), path


def test_the_commands_are_found():
    assert len(COMMANDS) >= 8
    assert len(EXAMPLES) == 2
