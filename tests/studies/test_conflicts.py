"""Runs with known angles in, known rates and agreements out; and what the command refuses."""

from __future__ import annotations

import csv
import json
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fabricated_runs import fabricate

from acl_lightning.cli import main

ROOT = Path(__file__).parents[2]

#: Cosine over all parameters at each step.
COSINES = {"supervised_contrastive": (-0.5, 0.5, -0.1, 0.2), "acl_embed": (0.5, 0.6, 0.7, -0.1)}
FILES = {"angles.csv", "agreement.csv", "per_layer.csv", "angles_sst2_100.png", "summary.md", "provenance.json"}


def line(step, term, scope, group, cosine):
    angle = "" if cosine is None else math.degrees(math.acos(cosine))
    return [step, term, scope, group, "" if cosine is None else cosine, angle, 1.0, 2.0]


def watched(directory, seed=0, cosines=COSINES, **settings) -> Path:
    """A run in which `layer.0` always agrees, `layer.1` is as the whole is, and `Representation` always conflicts."""
    run = fabricate(directory, seed, **settings)
    with (run / "gradient_probe.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["step", "term", "scope", "group", "cosine", "angle", "norm_protected", "norm_term"])
        for term, series in cosines.items():
            for step, cosine in enumerate(series):
                table.writerow(line(step, term, "AllParameters", "", cosine))
                table.writerow(line(step, term, "PerLayer", "layer.0", 0.5))
                table.writerow(line(step, term, "PerLayer", "layer.1", cosine))
                table.writerow(line(step, term, "Representation", "", -0.5))
    return run


def rows(path):
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def conflicts(out, *runs):
    return main(["conflicts", *map(str, runs), "--out", str(out)])


def test_angles(tmp_path, out):
    assert conflicts(out, watched(tmp_path / "run")) == 0
    assert {path.name for path in out.iterdir()} == FILES
    scl, acl = rows(out / "angles.csv")
    assert (scl["task"], scl["train_rows"], scl["n"], scl["seeds"]) == ("sst2", "100", "1", "0")
    assert (scl["term"], scl["steps"], scl["conflict_rate_mean"], scl["conflict_rate_std"]) == (
        *("supervised_contrastive", "4", "0.5", ""),
    )
    found = [float(scl[f"angle_{name}"]) for name in ("min", "median", "max")]
    median = (math.degrees(math.acos(0.2)) + math.degrees(math.acos(-0.1))) / 2
    assert found == pytest.approx([60, median, 120])
    assert 60 < float(scl["angle_p5"]) < median < float(scl["angle_p95"]) < 120
    assert (acl["cosine_min"], acl["cosine_max"], acl["conflict_rate_mean"]) == ("-0.1", "0.7", "0.25")


def test_agreement_of_cheaper_scopes(tmp_path, out):
    assert conflicts(out, watched(tmp_path / "run")) == 0
    found = {(row["term"], row["scope"]): row for row in rows(out / "agreement.csv")}
    assert len(found) == 4
    layers, proxy = (found["supervised_contrastive", scope] for scope in ("PerLayer", "Representation"))
    assert (layers["steps"], layers["decisions"], layers["agreement_mean"]) == ("4", "8", "0.75")
    assert (layers["conflict_rate_mean"], layers["conflict_rate_all_mean"]) == ("0.25", "0.5")
    assert (proxy["decisions"], proxy["agreement_mean"], proxy["conflict_rate_mean"]) == ("4", "0.5", "1")
    trusting = found["acl_embed", "Representation"]
    assert (trusting["agreement_mean"], trusting["without_a_test_mean"]) == ("0.25", "0.75")


def test_layers(tmp_path, out):
    assert conflicts(out, watched(tmp_path / "run")) == 0
    found = {(row["term"], row["layer"]): row for row in rows(out / "per_layer.csv")}
    assert float(found["acl_embed", "layer.0"]["angle_median"]) == pytest.approx(60)
    assert found["acl_embed", "layer.0"]["conflict_rate_mean"] == "0"
    assert found["acl_embed", "layer.1"]["conflict_rate_mean"] == "0.25"
    assert found["acl_embed", "layer.1"]["steps"] == "4"


def test_seeds_are_averaged_and_their_spread_is_given(tmp_path, out, capsys):
    calm = dict.fromkeys(COSINES, (0.1, 0.2, 0.3, 0.4))
    assert conflicts(out, watched(tmp_path / "a"), watched(tmp_path / "b", 1, calm)) == 0
    scl, _ = rows(out / "angles.csv")
    assert (scl["n"], scl["seeds"], scl["steps"], scl["conflict_rate_mean"]) == ("2", "0 1", "8", "0.25")
    assert float(scl["conflict_rate_std"]) == pytest.approx(0.5 / math.sqrt(2))
    assert "| 25.0 ± 35.4 |" in (out / "summary.md").read_text()
    assert "25.0 ± 35.4" in capsys.readouterr().out


def test_settings_and_tasks_are_not_mixed(tmp_path, out):
    other = {"model__encoder__exit_row": "cls"}
    runs = [watched(tmp_path / "a"), watched(tmp_path / "b", **other), watched(tmp_path / "c", task="rte")]
    assert conflicts(out, *runs) == 0
    assert [(row["task"], row["group"]) for row in rows(out / "angles.csv")[::2]] == [
        ("sst2", "exit_row=mean_row"),
        ("sst2", "exit_row=cls"),
        ("rte", "all runs"),
    ]


def test_runs_of_one_name_are_two(tmp_path, out):
    calm = dict.fromkeys(COSINES, (0.1,))
    assert conflicts(out, watched(tmp_path / "a/run"), watched(tmp_path / "b/run", 1, calm)) == 0
    assert rows(out / "angles.csv")[0]["steps"] == "5"


def test_a_gradient_that_is_not_finite_counts_as_a_conflict_without_an_angle(tmp_path, out):
    assert conflicts(out, watched(tmp_path / "run", cosines={"a": (0.5, None), "b": (None,)})) == 0
    some, none = rows(out / "angles.csv")
    assert (some["steps"], some["undefined_steps"], some["conflict_rate_mean"]) == ("2", "1", "0.5")
    assert (none["angle_median"], none["conflict_rate_mean"]) == ("", "1")
    assert "undefined" in (out / "summary.md").read_text()


def test_runs_that_are_of_no_use_are_named(tmp_path, out, capsys):
    unwatched = fabricate(tmp_path / "unwatched")
    damaged = watched(tmp_path / "damaged")
    (damaged / "gradient_probe.csv").write_text("step,term\n1,2\n")
    partial = watched(tmp_path / "partial")
    (partial / "gradient_probe.csv").write_text(
        "step,term,scope,group,cosine,angle,norm_protected,norm_term\n0,a,PerLayer,x,0.5,60,1,1\n"
    )
    (tmp_path / "going-on").mkdir()
    assert conflicts(out, watched(tmp_path / "good"), unwatched, damaged, partial, tmp_path / "going-on") == 0
    unfinished = json.loads((out / "provenance.json").read_text())["unfinished"]
    assert unfinished["unwatched"] == "missing: no gradient_probe.csv"
    assert unfinished["damaged"].startswith("missing: gradient_probe.csv: a damaged file")
    assert unfinished["partial"] == "missing: gradient_probe.csv has no comparison over AllParameters"
    assert unfinished["going-on"] == "missing: no result.json"
    assert "No result from unwatched (missing): no gradient_probe.csv." in capsys.readouterr().out


def test_a_mistake_gets_one_line_code_2_and_nothing_written(tmp_path, out, capsys):
    run = watched(tmp_path / "run")
    for runs, message in (
        ((tmp_path / "nothing",), "expected a run directory at"),
        ((run, run), "expected every run once"),
        ((fabricate(tmp_path / "unwatched"),), "expected at least one finished run; found unwatched (missing: no grad"),
    ):
        assert conflicts(out, *runs) == 2
        said = capsys.readouterr()
        assert said.err.startswith("error: ")
        assert message in said.err
        assert (said.err.count("\n"), said.out, out.exists()) == (1, "", False)
    with pytest.raises(SystemExit) as stop:
        main(["conflicts", "run"])
    assert stop.value.code == 2


def test_the_command_needs_neither_torch_nor_lightning(tmp_path, out):
    run = watched(tmp_path / "run")
    code = (
        "import sys; from acl_lightning.cli import main; "
        f"assert main(['conflicts', {str(run)!r}, '--out', {str(out)!r}]) == 0; "
        "assert not {'torch', 'lightning', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)


def test_real_runs_are_read(command, tmp_path, out):
    config = f"--config={ROOT / 'conf/callbacks/gradient_probe.yaml'}"
    run = tmp_path / "real"
    assert command("fit", config, f"--run_dir={run}", "--data.batch_size=16") == (0, "")
    assert conflicts(out, run) == 0
    scl, acl = rows(out / "angles.csv")
    assert (scl["term"], acl["term"], acl["steps"]) == ("supervised_contrastive", "acl_embed", "4")
    assert {row["scope"] for row in rows(out / "agreement.csv")} == {"PerLayer", "TopLayers(1)", "Representation"}
    (figure,) = out.glob("*.png")
    assert 5_000 < figure.stat().st_size < 150_000


def test_the_files_that_the_experiment_lists_are_those_that_are_written(tmp_path, monkeypatch):
    text = (ROOT / "experiments/conflict_pilot/README.md").read_text(encoding="utf-8")
    (typed,) = re.findall(r"^    (python -m acl_lightning conflicts .*)$", text, re.MULTILINE)
    written = Path(shlex.split(typed)[-1])
    assert written == Path("experiments/conflict_pilot/results")
    monkeypatch.chdir(tmp_path)
    assert conflicts(written, watched(tmp_path / "run")) == 0
    listed = set(re.findall(r"^\| `(\w+\.\w+)` \|", text, re.MULTILINE))
    assert {path.name.replace("sst2_100", "TASK_ROWS") for path in written.iterdir()} == listed
    committed = {re.sub(r"^angles_.*png$", "angles_TASK_ROWS.png", path.name) for path in (ROOT / written).iterdir()}
    of_the_study = {"table.md", "table.tex", "table.csv", "comparisons.csv", "trials.csv", "report.html"}
    assert committed == listed | of_the_study
