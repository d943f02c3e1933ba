"""Every file in `examples/` runs, as a script and, where it is a part, on the command line."""

import ast
import json
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py"))

pytestmark = pytest.mark.usefixtures("registries")


def main_of(script: str, *arguments, **settings):
    """Call the `main` of a script."""
    return runpy.run_path(str(EXAMPLES / script), run_name="example")["main"](*arguments, **settings)


def test_training_in_python(tiny_backbone, capsys):
    layers = main_of("train.py", tiny_backbone, rows=32)
    assert len(layers) == 2
    assert all(1 <= layer <= 3 for layer in layers)
    assert "accuracy: 0." in capsys.readouterr().out


def test_a_sweep_of_any_logits(tmp_path):
    assert main_of("sweep_logits.py", str(tmp_path / "curve.png")) == ["drop0", "drop1", "drop2"]
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_answers_of_a_package(tiny_package, capsys):
    answers = main_of("serve_package.py", str(tiny_package), operating_point="entropy", texts=("w7 w8", "w9"))
    assert [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()] == list(answers.labels)


def test_an_objective_from_outside():
    assert main_of("extend/center_loss.py").keys() == {"cross_entropy", "center"}


def test_a_gradient_rule_from_outside():
    assert main_of("extend/soft_agreement.py") == [2.5, 0.5]


def test_a_criterion_from_outside():
    certainty = main_of("extend/ensemble_confidence.py")
    assert certainty == pytest.approx([0.7311, 0.8059, 0.8548], abs=1e-4)


def test_a_backbone_from_outside(tmp_path):
    layers = main_of("extend/toy_backbone.py", str(tmp_path / "toy"))
    assert len(layers) == 4


def test_the_parts_train_from_the_command_line(command, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(EXAMPLES / "extend"))
    code, errors = command(
        "fit",
        "--config=quickstart.yaml",
        "--model.objective=acl_lightning.objectives.WeightedObjective",
        "--model.objective.init_args.auxiliary=center_loss.CenterLoss",
        "--model.gradient_rule=soft_agreement.SoftAgreement",
        "--exit_sweep.criteria=[acl_lightning.exits.Confidence, ensemble_confidence.EnsembleConfidence]",
        f"--run_dir={tmp_path / 'run'}",
    )
    assert (code, errors) == (0, "")
    assert "ensemble_confidence" in (tmp_path / "run/exit_sweep.csv").read_text()


def test_the_notebook(example_run, capsys):
    notebook = json.loads((EXAMPLES / "explore_a_run.ipynb").read_text(encoding="utf-8"))
    names: dict = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []  # outputs are not kept
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    plt.close("all")
    assert "speed1.5" in capsys.readouterr().out


def test_every_script_is_tested_and_described():
    tested = {
        node.args[0].value
        for node in ast.walk(ast.parse(Path(__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "main_of"
    }
    assert tested == set(SCRIPTS)
    described = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({script})" in described for script in SCRIPTS)
