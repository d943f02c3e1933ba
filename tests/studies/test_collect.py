"""The command: what it writes, what it prints, what it refuses."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
from fabricated_runs import fabricate

from acl_lightning.cli import main


def rows(path):
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def collect(out, *runs, options=()):
    return main(["collect", *map(str, runs), "--out", str(out), *options])


def test_runs_and_summary(tmp_path, out, capsys):
    runs = [fabricate(tmp_path / f"run{seed}", seed, (0.6, 0.8 + seed / 10)) for seed in (0, 1)]
    assert collect(out, *runs) == 0
    names = {"curves_sst2_100.png", "provenance.json", "runs.csv", "summary.csv", "summary.md"}
    assert {path.name for path in out.iterdir()} == names
    first, second = rows(out / "runs.csv")
    assert (first["run"], first["status"], first["seed"], first["train_rows"]) == ("run0", "finished", "0", "100")
    assert (second["exit_1"], second["exit_2"], second["full_depth"]) == ("0.6", "0.9", "0.9")
    point = {"criterion": "entropy", "threshold": "0.5", "quality": "0.8", "loss_points": "1"}
    assert {name: first[f"drop1_{name}"] for name in point} == point
    origin = {"fit_seconds": "3600", "device": "cpu (test)", "torch": "2.13.0", "commit": "abc", "dirty": "false"}
    assert {name: first[name] for name in origin} == origin
    assert (first["config_hash"], first["precision"], first["report_samples"]) == ("hash0", "32-true", "11")

    (group,) = rows(out / "summary.csv")
    assert (group["n"], group["seeds"], group["metric"]) == ("2", "0 1", "accuracy")
    assert (group["exit_2_mean"], group["exit_2_std"]) == ("0.85", "0.070710678")
    assert (group["drop1_layer_speedup_mean"], group["drop1_layer_speedup_std"]) == ("1.3333333", "0")
    printed = capsys.readouterr().out
    assert "85.0 ± 7.1" in printed
    assert "n = 1" not in printed


def test_one_seed_has_no_deviation_and_says_so(tmp_path, out, capsys):
    assert collect(out, fabricate(tmp_path / "run")) == 0
    (group,) = rows(out / "summary.csv")
    assert (group["n"], group["exit_2_mean"], group["exit_2_std"]) == ("1", "0.8", "")
    printed = capsys.readouterr().out
    assert "±" not in printed.replace("mean ±", "")
    assert "1 of 1 groups have one run (n = 1) and therefore no spread." in printed


def test_mixed_tasks_have_tables_and_figures_of_their_own(tmp_path, out, capsys):
    assert collect(out, fabricate(tmp_path / "a"), fabricate(tmp_path / "b", qualities=(0.5, 0.6), task="rte")) == 0
    assert [(row["task"], row["n"], row["full_depth_mean"]) for row in rows(out / "summary.csv")] == [
        ("sst2", "1", "0.8"),
        ("rte", "1", "0.6"),
    ]
    assert {path.name for path in out.glob("*.png")} == {"curves_sst2_100.png", "curves_rte_100.png"}
    assert "rte, 100 training rows: accuracy in %" in capsys.readouterr().out


def test_groups_with_other_exits_and_metrics_leave_cells_empty(tmp_path, out):
    shallow = {"exit_layers": [2], "per_exit": [{"layer": 2, "accuracy": 0.7}]}
    one = fabricate(tmp_path / "one", changes=shallow, model__encoder__exits=[2])
    assert collect(out, fabricate(tmp_path / "all"), one) == 0
    everywhere, last = rows(out / "summary.csv")
    assert (everywhere["exit_1_mean"], last["exit_1_mean"], last["exit_2_mean"]) == ("0.6", "", "0.7")
    table = (out / "summary.md").read_text().splitlines()
    (line,) = [line for line in table if "exits=[2]" in line and "full depth" not in line]
    assert [cell.strip() for cell in line.strip("|").split("|")][2:] == ["", "70.0"]


def test_unfinished_runs_are_named_with_their_reason(tmp_path, out, capsys):
    going_on = tmp_path / "going-on"
    going_on.mkdir()
    failed = fabricate(tmp_path / "failed", changes={"status": "failed", "error": "RuntimeError: no memory"})
    damaged = fabricate(tmp_path / "damaged")
    (damaged / "result.json").write_text('{"status":')
    unswept = fabricate(tmp_path / "unswept")
    (unswept / "exit_sweep.csv").unlink()
    short = fabricate(tmp_path / "short")
    (short / "result.json").write_text('{"status": "finished", "task": "sst2"}')
    listed = fabricate(tmp_path / "listed")
    (listed / "result.json").write_text("[]")
    barred = fabricate(tmp_path / "barred")
    (barred / "config.yaml").unlink()
    (barred / "config.yaml").mkdir()
    unfinished = (going_on, failed, damaged, unswept, short, listed, barred)
    assert collect(out, fabricate(tmp_path / "good"), *unfinished) == 0
    found = {row["run"]: (row["status"], row["reason"]) for row in rows(out / "runs.csv")}
    assert found["good"] == ("finished", "")
    assert found["going-on"] == ("missing", "no result.json")
    assert found["failed"] == ("failed", "RuntimeError: no memory")
    assert found["damaged"][1].startswith("result.json: a damaged file (JSONDecodeError")
    assert found["unswept"] == ("missing", "no exit_sweep.csv")
    assert found["short"][1].startswith("result.json has no metric, exit_layers")
    assert found["barred"] == ("missing", "config.yaml: Is a directory")
    assert found["listed"][1].startswith("result.json: a damaged file (TypeError")
    printed = capsys.readouterr().out
    assert "No result from failed (failed): RuntimeError: no memory." in printed
    assert "No result from going-on (missing): no result.json." in (out / "summary.md").read_text()
    assert set(json.loads((out / "provenance.json").read_text())["unfinished"]) == set(found) - {"good"}


def test_an_undefined_quality_is_not_averaged_away(tmp_path, out, capsys):
    undefined = {"per_exit": [{"layer": 1, "accuracy": 0.6}, {"layer": 2, "accuracy": None}]}
    assert collect(out, fabricate(tmp_path / "a"), fabricate(tmp_path / "b", 1, changes=undefined)) == 0
    (group,) = rows(out / "summary.csv")
    assert (group["full_depth_mean"], group["full_depth_std"]) == ("", "")
    assert "undefined" in capsys.readouterr().out


def test_what_a_reader_should_be_wary_of_is_said(tmp_path, out, capsys):
    other = {"git": {"commit": "def", "dirty": True}}
    runs = [fabricate(tmp_path / "a"), fabricate(tmp_path / "b", changes=other)]
    assert collect(out, *runs, fabricate(tmp_path / "c", 1, changes={"git": None})) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "sst2, 100 training rows, all runs: seed 0 occurs more than once." in printed
    assert "The runs come from more than one commit" in printed
    assert "Run with uncommitted changes: b." in printed


def test_provenance(tmp_path, out):
    runs = [fabricate(tmp_path / f"run{seed}", seed) for seed in (0, 1)]
    assert collect(out, *runs, options=("--criterion=entropy",)) == 0
    origin = json.loads((out / "provenance.json").read_text())
    assert origin["command"][:4] == ["python", "-m", "acl_lightning", "collect"]
    assert origin["command"][-1] == "--criterion=entropy"
    assert origin["runs"]["commits"] == {"abc": 2}
    assert origin["runs"]["devices"] == {"cpu (test)": 2}
    assert origin["runs"]["torch"] == {"2.13.0": 2}
    assert origin["runs"]["first_started"] == "2026-01-01T00:00:00+00:00"
    assert origin["runs"]["last_finished"] == "2026-01-02T01:00:00+00:00"
    assert (origin["uncommitted_changes"], origin["unfinished"]) == ([], {})


def test_collecting_again_replaces(tmp_path, out):
    runs = [fabricate(tmp_path / f"run{seed}", seed) for seed in (0, 1)]
    assert collect(out, runs[0]) == collect(out, *runs) == 0
    assert len(rows(out / "runs.csv")) == 2


def test_markdown_stays_whole_in_a_narrow_terminal(tmp_path, out, monkeypatch):
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    assert collect(out, fabricate(tmp_path / "a"), fabricate(tmp_path / "b", model__encoder__exit_row="cls")) == 0
    text = (out / "summary.md").read_text()
    assert "| exit_row=mean_row | 1 |   60.0 |   80.0 |" in text
    assert "\x1b" not in text


def nothing(tmp_path):
    return (tmp_path / "nothing",), (), f"expected a run directory at {tmp_path / 'nothing'}; found nothing."


def a_file(tmp_path):
    (tmp_path / "file").write_text("")
    return (tmp_path / "file",), (), "found a file. Set the directory that `fit` wrote: --run_dir."


def twice(tmp_path):
    run = fabricate(tmp_path / "run")
    return (run, run.parent / "." / "run"), (), "expected every run once; found"


def none_finished(tmp_path):
    (tmp_path / "run").mkdir()
    return (tmp_path / "run",), (), "expected at least one finished run; found run (missing: no result.json)."


def unswept_criterion(tmp_path):
    return (fabricate(tmp_path / "run"),), ("--criterion=margin",), "expected margin in the exit sweep of run"


@pytest.mark.parametrize("mistake", [nothing, a_file, twice, none_finished, unswept_criterion])
def test_a_mistake_gets_one_line_code_2_and_nothing_written(mistake, tmp_path, out, capsys):
    runs, options, message = mistake(tmp_path)
    assert collect(out, *runs, options=options) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert message in said.err
    assert (said.err.count("\n"), said.out, out.exists()) == (1, "", False)


@pytest.mark.parametrize("arguments", [[], ["run"], ["--out=x"], ["run", "--out=x", "--colour"]])
def test_a_mistyped_command_gets_one_line_and_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["collect", *arguments])
    said = capsys.readouterr().err
    assert (stop.value.code, said.count("\n")) == (2, 1)
    assert said.startswith("error: ")


def test_the_command_needs_neither_torch_nor_lightning(tmp_path, out):
    run = fabricate(tmp_path / "run")
    code = (
        "import sys; from acl_lightning.cli import main; "
        f"assert main(['collect', {str(run)!r}, '--out', {str(out)!r}]) == 0; "
        "assert not {'torch', 'lightning', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)


def test_python_dash_m_without_a_warning():
    command = [sys.executable, "-W", "error", "-m", "acl_lightning", "collect", "--help"]
    assert "--criterion" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_real_runs_are_read(command, tmp_path, out):
    runs = [tmp_path / "real0", tmp_path / "real1"]
    for seed, run in enumerate(runs):
        assert command("fit", f"--run_dir={run}", f"--seed_everything={seed}")[0] == 0
    assert collect(out, *runs) == 0
    (group,) = rows(out / "summary.csv")
    assert (group["task"], group["train_rows"], group["seeds"], group["n"]) == ("sst2", "64", "0 1", "2")
    results = [json.loads((run / "result.json").read_text()) for run in runs]
    expected = sum(result["full_depth"]["accuracy"] for result in results) / 2
    assert float(group["full_depth_mean"]) == pytest.approx(expected)
    assert float(group["exit_3_mean"]) == pytest.approx(expected)
    assert {row["commit"] for row in rows(out / "runs.csv")} == {(results[0]["git"] or {}).get("commit", "")}
    (figure,) = out.glob("*.png")
    assert 10_000 < figure.stat().st_size < 150_000
