"""Use from a notebook: paths as text or objects, a sweep into a figure, criteria of the user's own."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from stored_runs import stored_run

from acl_lightning.cli import main
from acl_lightning.exits import (
    PCEE,
    Confidence,
    Entropy,
    ExitCosts,
    ExitRecord,
    figure_points,
    recommend,
    sweep,
)
from acl_lightning.exits.criteria import registry
from acl_lightning.figures import speed_quality_figure
from acl_lightning.files import write_text_atomically
from acl_lightning.pretrained import is_hub_id, resolve_pretrained
from acl_lightning.studies.reading import read_run


def as_text(path):
    return str(path)


class PathLike:
    """What only `os.fspath` understands."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def record(samples=40):
    generator = torch.Generator().manual_seed(0)
    return ExitRecord(
        logits_EBC=torch.randn(3, samples, 2, generator=generator) * torch.tensor([1.0, 2.0, 4.0])[:, None, None],
        labels_B=torch.randint(2, (samples,), generator=generator),
        index_B=torch.arange(samples),
        selection_B=torch.arange(samples) % 2 == 0,
        num_tokens_B=torch.full((samples,), 7),
        costs=ExitCosts((2, 4, 6), depth=6, flops_E=(10.0, 20.0, 30.0), full_flops=30.0),
    )


@pytest.mark.parametrize("kind", [as_text, Path, PathLike], ids=["text", "Path", "PathLike"])
def test_a_path_may_be_text_or_an_object(tmp_path, kind, tiny_backbone):
    record().save(kind(tmp_path / "exit_logits.npz"))
    assert torch.equal(ExitRecord.load(kind(tmp_path / "exit_logits.npz")).logits_EBC, record().logits_EBC)
    write_text_atomically(kind(tmp_path / "a/b.txt"), "x")
    assert (tmp_path / "a/b.txt").read_text() == "x"
    assert read_run(kind(stored_run(tmp_path / "run"))).task == "sst2"
    assert resolve_pretrained(kind(tiny_backbone)) == tiny_backbone
    assert not is_hub_id(kind(tiny_backbone))


@pytest.mark.parametrize("criteria", [[Confidence(), PCEE()], []], ids=["two", "none"])
def test_a_sweep_is_drawn_without_the_command_line(criteria):
    stored = record()
    points = sweep(
        stored.logits_EBC,
        stored.labels_B,
        criteria,
        quality=lambda predictions_n, labels_n: (predictions_n == labels_n).double().mean().item(),
        selection_B=stored.selection_B,
        costs=stored.costs,
    )
    recommended = recommend(points)
    arranged = figure_points(points, recommended)
    assert list(arranged["curves"]) == [criterion.name for criterion in criteria]
    assert arranged["static"] == {
        layer: (6 / layer, point.quality) for layer, point in zip((2, 4, 6), points[:3], strict=True)
    }
    assert arranged["recommended"]["drop0"] == (recommended["drop0"].layer_speedup, recommended["drop0"].quality)
    (axes, *_) = speed_quality_figure(**arranged, metric="accuracy", title="mine").axes
    assert axes.get_title(loc="left").startswith("mine")
    speed_quality_figure(**figure_points(points), metric="accuracy", title="")


@pytest.fixture
def own_criterion(tmp_path, monkeypatch):
    """A module with a criterion in the working directory, known to nobody yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["acl_lightning"])
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr("acl_lightning.runs.trust._trusted", [])
    Path("own_criteria.py").write_text(
        "from acl_lightning.exits import Entropy\nclass Halved(Entropy):\n    name = 'halved'\n"
    )
    yield "own_criteria"
    sys.modules.pop("own_criteria", None)


@pytest.mark.parametrize("trusted", ["own_criteria", "own_criteria.Halved"])
def test_curves_draws_a_criterion_of_the_users_own(own_criterion, tmp_path, capsys, trusted):
    run = stored_run(tmp_path / "run")
    arguments = ["curves", str(run), "--criterion=halved", "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "found 'halved'. Choose one of them; add --trust MODULE" in capsys.readouterr().err
    assert main([*arguments, "--trust", trusted]) == 0
    shutil.move(tmp_path / "out/curves.csv", tmp_path / "halved.csv")
    assert main(["curves", str(run), "--criterion=entropy", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "halved.csv").read_text() == (tmp_path / "out/curves.csv").read_text()
    assert Entropy.name == "entropy"


def test_a_criterion_of_the_users_own_is_trained_with_predicted_with_and_drawn(own_criterion, command, tmp_path):
    run = tmp_path / "run"
    sweep_it = ("--exit_sweep.criteria=[own_criteria.Halved]", "--trust=own_criteria", f"--run_dir={run}")
    assert command("fit", *sweep_it) == (0, "")
    checkpoint = f"--ckpt_path={run / 'checkpoints/best.ckpt'}"
    predict = ("predict", f"--config={run / 'config.yaml'}", checkpoint, "--exit.operating_point=drop2")
    assert command(*predict, f"--run_dir={tmp_path / 'out'}", "--trust=own_criteria", defaults=False) == (0, "")
    assert command("curves", str(run), "--criterion=halved", f"--out={tmp_path / 'curves'}", defaults=False) == (0, "")
