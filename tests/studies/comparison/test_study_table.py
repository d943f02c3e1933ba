"""`study table`: tables, tests, tuning, missing and damaged trials, from run directories."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest
import torch
from study_folders import REPORT, STRENGTH, exit_record, finish, write_study, write_trial

from acl_lightning.cli import main
from acl_lightning.errors import UserError
from acl_lightning.runs.records import read_exit_logits
from acl_lightning.studies.comparison import TableSpecification, compare_trials
from acl_lightning.studies.comparison.formats import cell_text, method_table, text_tables
from acl_lightning.studies.comparison.measures import Measured
from acl_lightning.studies.comparison.tables import method_tables
from acl_lightning.studies.trials import Sweep
from acl_lightning.studies.trials.search import SearchQueue

CONFIGS = ["objective/ce.yaml", "objective/acl.yaml", "objective/scl.yaml"]
TABLE = {
    "rows": {"CE": CONFIGS[0], "SCL": CONFIGS[2], "ACL": CONFIGS[1]},
    "columns": ["data.task"],
    "labels": {"data.task": {"sst2": "SST-2"}},
    "measures": ["last_exit", "mean_exits", "exits", "fit_seconds"],
    "baseline": "CE",
    "average": True,
    "resamples": 200,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three methods, two tasks and two seeds; every trial finished."""
    root = tmp_path_factory.mktemp("study")
    parameters = {"config": CONFIGS, "data.task": ["sst2", "rte"], "seed_everything": [1, 2]}
    sweep = write_study(root / "help", parameters, TABLE)
    finish(sweep.trials(root / "trials"))
    return sweep, root


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Trials of two methods and two tasks, one seed."""
    root = tmp_path_factory.mktemp("small")
    parameters = {"config": CONFIGS[:2], "data.task": ["sst2", "rte"], "seed_everything": [1]}
    trials = write_study(root / "small", parameters, TABLE).trials(root / "trials")
    finish(trials)
    return trials


@pytest.fixture
def copied(study, tmp_path):
    """A copy of the study whose files may be changed: folder, trials."""
    sweep, root = study
    shutil.copytree(root, tmp_path / "copy")
    return tmp_path / "copy/help", sweep.trials(tmp_path / "copy/trials")


def table(folder, *options):
    return main(["study", "table", str(folder / "sweep.yaml"), "--trials", str(folder.parent / "trials"), *options])


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def compare(trials, **changes):
    return compare_trials("help", TableSpecification.from_yaml(TABLE | changes), trials)


def test_the_command_writes_all_formats(copied, capsys):
    folder, trials = copied
    assert table(folder) == 0
    out = folder / "results"
    names = {"table.md", "table.tex", "table.csv", "comparisons.csv", "trials.csv", "provenance.json"}
    assert {path.name for path in out.iterdir()} == names
    text = (out / "table.md").read_text()
    assert "| method |" in text
    assert "SST-2" in text
    assert "Reported on the whole validation split, selected on training rows that are never trained on" in text
    assert "(report and selection samples: sst2 120 and 60, rte 120 and 60)" in text
    assert "Holm correction for 6 comparisons" in text
    assert "ACL" in capsys.readouterr().out
    tex = (out / "table.tex").read_text()
    assert tex.count(r"\toprule") == tex.count(r"\bottomrule") == 10
    assert "tab:help-1-differences" in tex
    assert r"accuracy in \%" in tex
    assert "±" not in tex
    assert "†" not in tex
    origin = json.loads((out / "provenance.json").read_text())
    assert origin["command"][:5] == ["python", "-m", "acl_lightning", "study", "table"]
    assert sorted(origin["trials"]) == sorted(trial.id for trial in trials)
    assert origin["trial_states"] == {"finished": 12}
    check_that_the_table_is_that_of_the_trials(out)


def check_that_the_table_is_that_of_the_trials(out):
    """`table.csv` can be recomputed from `trials.csv`, without the runs."""
    values: dict[tuple[str, ...], list[float]] = {}
    for row in rows(out / "trials.csv"):
        values.setdefault((row["method"], row["column"], row["measure"]), []).append(float(row["report"]))
    cells = [row for row in rows(out / "table.csv") if row["column"] in {"SST-2", "rte"}]
    assert cells
    for row in cells:
        of_seeds = values[row["method"], row["column"], row["measure"]]
        assert float(row["mean"]) == pytest.approx(fmean(of_seeds))
        assert float(row["std"]) == pytest.approx(stdev(of_seeds), rel=1e-6, abs=1e-9)
        assert int(row["n"]) == len(of_seeds) == 2


def test_marks_follow_the_tests(study):
    sweep, root = study
    comparison = compare(sweep.trials(root / "trials"))
    for compared in comparison.tables:
        adjusted = {(item.row, item.column): item.p_holm for item in compared.comparisons}
        for label, cells in zip(compared.rows, compared.cells, strict=True):
            for column, cell in zip(compared.columns, cells, strict=True):
                p = adjusted.get((label, column))
                assert cell.differs == (p is not None and p < 0.05)
    mean_exits = comparison.tables[1]
    assert [cell.is_best for cell in mean_exits.cells[2]] == [True, True, True]
    assert not any(cell.is_best for cells in mean_exits.cells[:2] for cell in cells)
    assert method_table(mean_exits).rows[2][1].startswith("**")
    assert not any(cell.is_best for cells in comparison.tables[-1].cells for cell in cells)  # seconds


def test_a_best_value_that_could_be_chance_is_not_marked(tmp_path):
    sweep = write_study(tmp_path / "equal", {"config": CONFIGS[:2], "seed_everything": [1, 2, 3]}, {})
    finish(sweep.trials(tmp_path), strength={"ce": 1.0, "acl": 1.0})
    specification = {"rows": {"CE": CONFIGS[0], "ACL": CONFIGS[1]}, "baseline": "CE", "resamples": 200}
    comparison = compare_trials("equal", TableSpecification.from_yaml(specification), sweep.trials(tmp_path))
    (compared,) = comparison.tables
    means = [cells[0].values.spread.mean for cells in compared.cells]
    assert means[0] != means[1]
    assert not any(cell.is_best or cell.differs for cells in compared.cells for cell in cells)
    assert "No value differs significantly from CE" in comparison.caption(compared)
    (text,) = text_tables(compared, "CE", 0.05)  # one column: values and differences side by side
    assert text.headings[2:5] == ["pairs", "difference", "95 % interval"]
    assert [len(row) for row in text.rows] == [2, 8]


def test_the_average_is_over_seeds_that_all_columns_have(copied):
    _, trials = copied
    lost = next(trial for trial in trials if trial.parameters["config"] == CONFIGS[1])
    shutil.rmtree(lost.directory)
    comparison = compare(trials)
    (*_, average) = comparison.tables[0].cells[2]
    assert "(1/2)" in cell_text(average, is_quality=True)
    of_tasks = [cell.values.by_seed["2"].measured.report for cell in comparison.tables[0].cells[2][:2]]
    assert average.values.spread.mean == pytest.approx(fmean(of_tasks))
    assert average.values.trials == 2
    both = [value.results for value in average.values.by_seed.values()]
    assert [result.curve.run.task for results in both for result in results] == ["sst2", "rte"]


def test_columns_with_the_same_samples_share_the_resamples(tmp_path):
    """The trials of both columns have the same logits, so their average is as uncertain as each of them."""
    parameters = {"config": CONFIGS[:2], "data.train_rows": [20, 100], "seed_everything": [1, 2]}
    trials = write_study(tmp_path / "sizes", parameters, {}).trials(tmp_path / "trials")
    finish(trials)
    rows_of_sizes = {"CE": CONFIGS[0], "ACL": CONFIGS[1]}
    comparison = compare(trials, rows=rows_of_sizes, columns=["data.train_rows"], measures=["mean_exits"])
    *columns, average = [item.pairs for item in comparison.tables[0].comparisons]
    assert {pairs.difference.standard_error for pairs in columns} == {average.difference.standard_error}
    assert {pairs.samples for pairs in (*columns, average)} == {REPORT}


def test_captions_are_about_the_columns_of_their_table(copied):
    _, trials = copied
    for trial in trials:
        if trial.parameters["data.task"] == "rte":
            seed = trial.parameters["seed_everything"]
            write_trial(trial.directory, exit_record(1.0, seed), seed=seed, task="rte", metric="matthews")
    comparison = compare(trials)
    captions = {table.title: comparison.caption(table) for table in comparison.tables}
    assert "accuracy or matthews in %" in captions["last exit"]
    assert "SST-2, every exit: accuracy in %" in captions["SST-2, every exit"]
    assert "Rte, every exit: matthews in %" in captions["rte, every exit"]
    assert "(report and selection samples: rte 120 and 60)" in captions["rte, every exit"]
    assert "split" not in captions["fit seconds"]  # of the training
    for trial in trials:
        if trial.parameters["data.task"] == "rte":
            shutil.rmtree(trial.directory)
    missing = next(table for table in compare(trials).tables if table.title == "rte, every exit")
    assert compare(trials).caption(missing).startswith("Rte, every exit: quality in %, mean")


def test_an_undefined_value_is_shown_and_does_not_change_other_tests(study):
    sweep, root = study
    trials = sweep.trials(root / "trials")
    comparison = compare(trials, measures=["fit_seconds"], average=False)
    (lost,) = [trial for trial in trials if tuple(trial.parameters.values()) == (CONFIGS[1], "rte", 2)]
    measured = {
        key: {"fit_seconds": Measured(float("nan") if key[0] == lost.id else 0.0123)}
        for key in comparison.values.measured
    }
    (table,) = method_tables(comparison.specification, replace(comparison.values, measured=measured))
    assert cell_text(table.cells[2][1], is_quality=False) == "undefined (2)"
    assert cell_text(table.cells[2][0], is_quality=False) == "0.012 ± 0.000 (2)"
    assert ["ACL", "rte", "2", "undefined"] in [list(row) for row in text_tables(table, "CE", 0.05)[1].rows]
    assert table.tests == 3
    assert not table.comparisons[-1].pairs.p


def test_missing_stale_and_damaged_trials_are_named_and_others_used(copied, capsys):
    folder, trials = copied
    waiting, stale, damaged, *_ = [trial for trial in trials if trial.parameters["data.task"] == "rte"]
    shutil.rmtree(waiting.directory)
    write_trial(stale.directory, exit_record(1.0, 2), seed=2, task="rte", versions={"acl_lightning": "0.1.0"})
    (damaged.directory / "exit_logits.npz").write_bytes(b"PK broken")
    assert table(folder) == 0
    text = (folder / "results/table.md").read_text()
    assert "missing, stale" in text  # CE on RTE has neither seed
    assert "(1/2)" in text
    assert f"Trials waiting: 1, {waiting.id}." in text
    assert f"Trials stale (result of another version, not used): 1, {stale.id}." in text
    assert f"Trials damaged: 1, {damaged.id} (stored exit logits at" in text
    assert "CE, rte" not in text  # nothing to compare
    states = {row["trial"]: row["state"] for row in rows(folder / "results/trials.csv")}
    assert [states[trial.id] for trial in (waiting, stale, damaged)] == ["waiting", "stale", "damaged"]
    capsys.readouterr()


def test_seeds_of_other_samples_or_labels_are_not_paired(copied):
    _, trials = copied
    first, second = (
        trial for trial in trials if trial.parameters["config"] == CONFIGS[1] and trial.parameters["data.task"] == "rte"
    )
    shifted = exit_record(1.8, 7, shift=3)
    write_trial(first.directory, shifted, seed=1, task="rte")
    record = read_exit_logits(second.directory)
    relabelled = type(record)(**{**vars(record), "labels_B": torch.flip(record.labels_B, [0])})
    write_trial(second.directory, relabelled, seed=2, task="rte")
    comparison = compare(trials, average=False)
    (pairs,) = [item.pairs for item in comparison.tables[0].comparisons if (item.row, item.column) == ("ACL", "rte")]
    assert (pairs.difference, pairs.refused) == (None, ("1", "2"))
    assert any("ACL, rte: seeds 1, 2 measured on other samples or labels" in note for note in comparison.notes())


def test_a_remark_on_all_comparisons_does_not_list_them(copied):
    _, trials = copied
    for trial in trials:
        if trial.parameters["seed_everything"] != 1:
            shutil.rmtree(trial.directory)
    notes = compare(trials, average=False).notes()
    assert "All comparisons: one pair of seeds; the interval is over samples only, and there is no test." in notes


def test_seeds_without_a_partner_are_shown_and_the_pairs_counted(copied):
    _, trials = copied
    shutil.rmtree(trials[0].directory)  # CE on SST-2, seed 1
    comparison = compare(trials, average=False)
    first = comparison.tables[0].comparisons[0]
    assert (first.column, first.pairs.unpaired, first.pairs.difference.seeds) == ("SST-2", ("1",), 1)
    notes = comparison.notes()
    assert "SCL, SST-2; ACL, SST-2: seed 1 without a partner, not in the comparison." in notes
    assert (
        "SCL, SST-2; ACL, SST-2: one pair of seeds; the interval is over samples only, and there is no test." in notes
    )
    assert first.pairs.difference.interval() is not None
    assert (first.p_holm, comparison.tables[0].cells[1][0].differs) == (None, False)
    assert not any(cells[0].is_best for cells in comparison.tables[0].cells)
    assert comparison.tables[0].tests == 2


TUNED = {
    "rows": {"CE": CONFIGS[0], "ACL": {"variants": [CONFIGS[1], ["objective/acl.yaml", "objective/tau01.yaml"]]}},
    "measures": ["mean_exits"],
    "baseline": "CE",
    "tune": {"by": "mean_exits", "parameters": ["tau"]},
    "resamples": 100,
}


def tuned_study(root):
    """CE and two variants of ACL, each with two values of tau and two seeds; larger tau is better on report rows."""
    configs = [CONFIGS[0], CONFIGS[1], ["objective/acl.yaml", "objective/tau01.yaml"]]
    for name in ("objective/ce.yaml", "objective/acl.yaml", "objective/tau01.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}\n")
    sweep = write_study(root / "tuned", {"config": configs, "tau": [0.1, 0.5], "seed_everything": [1, 2]}, TUNED)
    return sweep.trials(root / "trials")


def test_settings_are_selected_on_the_selection_split(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    trials = tuned_study(tmp_path / "work")
    finish(trials)
    for trial in trials:  # tau = 0.1 is perfect on the selection split and worthless on the report split
        if trial.parameters["tau"] == 0.1:
            record = read_exit_logits(trial.directory)
            right_EBC = 9.0 * torch.nn.functional.one_hot(record.labels_B, 2).float().expand_as(record.logits_EBC)
            logits_EBC = torch.where(record.selection_B[None, :, None], right_EBC, -right_EBC)
            seed = trial.parameters["seed_everything"]
            write_trial(trial.directory, type(record)(**{**vars(record), "logits_EBC": logits_EBC}), seed=seed)
    comparison = compare_trials("tuned", TableSpecification.from_yaml(TUNED), trials)
    selected = [cell.selected for cell in comparison.values.cells]
    assert [setting.parameters for setting in selected] == ["tau=0.1", "config=objective/acl.yaml, tau=0.1"]
    assert [cells[0].values.spread.mean for cells in comparison.tables[0].cells] == [0.0, 0.0]
    assert comparison.settings() == ["CE: tau=0.1", "ACL: config=objective/acl.yaml, tau=0.1"]
    tuning = comparison.protocol()[0]
    assert "the best mean over exits on the selection split" in tuning
    assert "CE 2 and 4, ACL 4 and 8; grid tau: 0.1, 0.5" in tuning
    unselected = [row for row in comparison.trial_rows() if row["selected"] == "false"]
    assert len(unselected) == 8
    assert {row["report"] for row in unselected} == {None}
    assert not np.isnan([row["selection"] for row in unselected]).any()


def test_a_part_of_a_study_with_one_setting_per_method_selects_none(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    trials = [
        trial
        for trial in tuned_study(tmp_path / "work")
        if trial.parameters["tau"] == 0.1 and trial.parameters["config"] in CONFIGS
    ]
    finish(trials)
    comparison = compare_trials("tuned", TableSpecification.from_yaml(TUNED), trials)
    assert comparison.protocol()[0] == "Each method has one setting, which was not selected."


def test_an_unfinished_setting_is_not_selected(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    trials = tuned_study(tmp_path / "work")
    finish(trials, skip={2}, strength={**STRENGTH, "ce": 0.9})  # CE, tau 0.5, seed 1
    comparison = compare_trials("tuned", TableSpecification.from_yaml(TUNED), trials)
    assert comparison.settings()[0] == "CE: tau=0.1"


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"columns": ["data.tasks"]}, ["'data.tasks'", "Did you mean data.task?"]),
        ({"columns": []}, ["several values of data.task", "Add data.task to columns"]),
        ({"measures": ["last_exits"]}, ["'last_exits'", "Did you mean last_exit?"]),
        ({"measures": ["fit_second"]}, ["Did you mean fit_seconds?"]),
        ({"rows": {"CE": "objective/cee.yaml"}}, ["'objective/cee.yaml'", "Did you mean objective/ce.yaml?"]),
        ({"rows": {"CE": {"config": CONFIGS[0], "data.task": "cola"}}}, ["a value of data.task for the row 'CE'"]),
        ({"criterion": "entropyy"}, ["entropyy"]),
        ({"curve_criteria": ["pacience"]}, ["pacience"]),
        ({"tune": {"by": "fit_seconds"}}, ["tune.by", "Set tune.by to mean_exits."]),
        ({"tune": {"by": "area", "parameters": ["data.tusk"]}}, ["Did you mean data.task?"]),
    ],
)
def test_names_that_no_trial_has_are_refused(small, changes, parts):
    rows_of_small = {"CE": CONFIGS[0], "ACL": CONFIGS[1]}
    with pytest.raises(UserError) as error:
        compare(small, **({"rows": rows_of_small} | changes))
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_trials_of_different_devices_and_precisions_are_noted(copied):
    _, trials = copied
    assert not any("different" in note for note in compare(trials).notes())
    first = trials[0]
    seed = first.parameters["seed_everything"]
    write_trial(first.directory, exit_record(0.9, seed), seed=seed, precision="bf16-mixed")
    assert "The trials were run with different precisions: bf16-mixed (1), unknown (11)." in compare(trials).notes()


def test_rows_and_columns_without_trials_are_shown_and_named(small):
    lost = [trial for trial in small if trial.parameters["data.task"] == "rte"]
    moved = [replace(trial, directory=trial.directory / "none") if trial in lost else trial for trial in small]
    comparison = compare(moved, average=False)
    last_exit, *_, exits, _ = comparison.tables
    assert [cell_text(cell, is_quality=True) for cell in last_exit.cells[1]] == ["-", "-"]  # SCL
    assert [cell_text(cells[1], is_quality=True) for cells in last_exit.cells] == ["missing", "-", "missing"]
    assert exits.title == "rte, every exit"
    assert {cell_text(cell, is_quality=True) for cell in exits.cells[0]} == {"missing"}
    assert "Rows without trials: SCL (config=objective/scl.yaml)." in comparison.notes()
    without_baseline = compare(small, baseline="SCL")
    assert without_baseline.tables[0].comparisons == ()
    assert "SCL" not in without_baseline.caption(without_baseline.tables[0])
    with pytest.raises(UserError, match="found 2 that belong to no row"):
        compare(moved, rows={"ACL": {"config": CONFIGS[1], "data.task": "rte"}}, baseline=None)


def test_conditions_are_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise = ["study/label_noise_0.1.yaml", "study/label_noise_0.2.yaml"]
    methods = ["objective/ce.yaml", "objective/acl.yaml"]
    configs = [*methods, *([method, noise[0]] for method in methods), [methods[0], noise[1]]]
    parameters = {"data.task": ["sst2"], "config": configs, "seed_everything": [1, 2]}
    conditions = {"clean": [], "10 %": noise[0], "20 %": noise[1], "40 %": "study/label_noise_0.4.yaml"}
    specification = TABLE | {"rows": dict(zip(["CE", "ACL"], methods, strict=True)), "conditions": conditions}
    trials = write_study(tmp_path / "noisy", parameters, {}).trials(tmp_path / "trials")
    finish(trials)
    comparison = compare_trials("noisy", TableSpecification.from_yaml(specification | {"average": False}), trials)
    last_exit = comparison.tables[0]
    assert last_exit.columns == ("clean", "10 %", "20 %", "40 %")  # all have the same task
    counts = [[len(cell.values.by_seed) for cell in cells] for cells in last_exit.cells]
    assert counts == [[2, 2, 2, 0], [2, 2, 0, 0]]
    assert cell_text(last_exit.cells[1][2], is_quality=True) == "-"
    assert [(item.row, item.column) for item in last_exit.comparisons] == [("ACL", "clean"), ("ACL", "10 %")]
    notes = comparison.notes()
    assert "Columns without trials: 40 %." in notes
    assert not any("belong to no row" in note for note in notes)


def test_rows_are_the_configurations_by_default(small):
    specification = TableSpecification.from_yaml({"columns": ["data.task"], "resamples": 100})
    assert compare_trials("small", specification, small).tables[0].rows == ("CE", "ACL")
    with pytest.raises(UserError, match="Did you mean CE"):
        compare_trials("help", TableSpecification.from_yaml({"columns": ["data.task"], "baseline": "CC"}), small)


def test_a_study_without_a_finished_trial_is_refused(copied, capsys):
    folder, trials = copied
    shutil.rmtree(folder.parent / "trials")
    assert table(folder) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "a finished trial among 12" in message
    assert f"{trials[0].id} (waiting)" in message
    assert "and 9 more" in message


def test_a_model_with_one_exit_has_no_mean_over_exits(copied):
    _, trials = copied
    for trial in trials:
        if trial.parameters["config"] == CONFIGS[0]:
            seed, task = trial.parameters["seed_everything"], trial.parameters["data.task"]
            write_trial(trial.directory, exit_record(0.9, seed, (4,)), seed=seed, task=task)
    comparison = compare(trials, measures=["last_exit", "mean_exits", "area"])
    assert [cell_text(cell, is_quality=True) for cell in comparison.tables[1].cells[0]] == ["-", "-", "-"]
    assert comparison.tables[1].tests == 0
    assert comparison.tables[0].tests == 6
    assert compare(trials, measures=["mean_exits"]).tables[0].tests == 0


def test_a_row_may_have_its_criterion(small):
    ensemble = {"config": CONFIGS[1], "criterion": "ensemble_entropy"}
    rows_of_small = {"ACL": CONFIGS[1], "ensemble": ensemble, "patience": {**ensemble, "criterion": "patience"}}
    comparison = compare(small, rows=rows_of_small, measures=["area", "mean_exits"], baseline="ACL", average=False)
    areas, means = ([cells[0].values.spread.mean for cells in item.cells] for item in comparison.tables)
    assert areas[2] != areas[0]
    assert means[0] == means[2]  # every exit answers alone
    (criteria, _) = comparison.protocol()
    assert "Exit criterion: entropy, ensemble: ensemble_entropy, patience: patience." in criteria
    ensemble_trial = comparison.values.cells[2].selected.results[0]
    assert len(ensemble_trial.curve.criterion.weights_EE) == 4
    assert areas[1] == pytest.approx(ensemble_trial.curve.area, abs=1e-6)


def test_a_criterion_that_does_not_apply_to_a_trial_is_named(small):
    prototypes = {"config": CONFIGS[1], "criterion": "prototype_margin"}  # the runs have no cosines
    comparison = compare(small, rows={"CE": CONFIGS[0], "prototypes": prototypes}, measures=["area"], average=False)
    assert [cell_text(cell, is_quality=True) for cell in comparison.tables[0].cells[1]] == ["not applicable"] * 2
    (note,) = [note for note in comparison.notes() if note.startswith("Trials not applicable: 2")]
    assert "prototype_margin: " in note


def test_a_search_is_compared_by_the_trials_that_exist(tmp_path):
    parameters = {"config": CONFIGS[:2], "seed_everything": [1, 2], "data.task": ["sst2"], "rate": [0.1]}
    write_study(tmp_path / "search", parameters, {"measures": ["last_exit"]})
    path = tmp_path / "search/sweep.yaml"
    path.write_text(path.read_text().replace("method: grid", "method: random"))
    queue = SearchQueue(Sweep.read(path), tmp_path / "trials", 6)
    trials = [queue.take() for _ in range(6)]
    distinct = list({trial.id: trial for trial in trials}.values())
    finish(distinct)
    assert table(tmp_path / "search", "--runs", str(tmp_path / "none")) == 0
    written = rows(tmp_path / "search/results/trials.csv")
    assert {row["trial"] for row in written} == {trial.id for trial in trials}


def test_measured_speed_needs_measured_times(small, tmp_path):
    shutil.copytree(small[0].directory.parent, tmp_path / "trials")
    trials = [replace(trial, directory=tmp_path / "trials" / trial.id) for trial in small]
    for trial in trials[1:]:  # the last exit takes 4 ms, the plain model 3 ms
        lines = [f"{layer},{layer},{layer},3" for layer in (1, 2, 3, 4)]
        header = "exit_layer,milliseconds,static_milliseconds,plain_milliseconds"
        (trial.directory / "exit_latency.csv").write_text("\n".join([header, *lines]))
    rows_of_small = {"CE": CONFIGS[0], "ACL": CONFIGS[1]}
    comparison = compare(trials, rows=rows_of_small, measures=["measured3", "exit_1"], average=False)
    (fastest, first) = comparison.tables
    assert (fastest.title, cell_text(fastest.cells[0][0], is_quality=True)) == ("quality at 3x measured speed-up", "-")
    assert all(
        cell.values.spread == other.values.spread for cell, other in zip(fastest.cells[1], first.cells[1], strict=True)
    )
    assert fastest.cells[0][1].values.spread == first.cells[0][1].values.spread
    note = next(note for note in comparison.notes() if note.startswith("Measured speed"))
    assert "1 of 4 trials have no exit_latency.csv" in note
    assert note.endswith(f"python -m acl_lightning latency {trials[0].directory}.")
