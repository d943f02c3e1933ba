"""Where `--config` looks, and what it refuses."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acl_lightning import config_files

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["fit/glue.yaml", "conf/fit/glue.yaml", "./conf/fit/glue.yaml"])
def test_a_shipped_file_is_found_from_any_directory(name, parse, tmp_path):
    assert not (tmp_path / name).exists()
    assert parse(f"--config={name}").model.objective.init_args.weight == 0.5


def test_a_file_that_exists_wins(parse, tmp_path):
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit/glue.yaml").write_text("data: {task: cola}\n")
    settings = parse("--config=fit/glue.yaml")
    assert (settings.data.task, settings.model.objective) == ("cola", None)


def test_a_configuration_may_be_written_out(parse):
    assert parse('--config={"data": {"task": "cola"}}').data.task == "cola"


def test_the_installed_layout_is_preferred_to_a_neighbour(monkeypatch, tmp_path):
    package = tmp_path / "site-packages/acl_lightning"
    (package.parent / "conf").mkdir(parents=True)  # of another package
    (package / "conf").mkdir(parents=True)
    (package / "conf/quickstart.yaml").touch()
    monkeypatch.setattr(config_files, "_PACKAGE", package)
    assert config_files.shipped_directory() == package / "conf"


MISTAKES = {
    "binary": (b"\x80\x81\x82\x83data", "byte 0 of file.yaml that is not UTF-8"),
    "nul": (b"data: \x00\n", "expected YAML or JSON in file.yaml"),
    "YAML": (b"data:\n  task: rte\n   batch_size: 1\n", "line 3"),
    "JSON": (b'{"data.task": "rte",\n "data.batch_size" 1,\n}', "line 2"),
    "tab": (b"data:\n\ttask: rte\n", "line 2"),
    "object": (b"data: !!python/object/apply:os.system [ls]\n", "line 1"),
    "list": (b"- a\n", "found a list"),
    "empty": (b"# nothing\n", "found an empty file"),
    "linked": (b"data: {shuffle_seed: 3}\n", "no value for data.shuffle_seed, which follows from seed_everything"),
    "linked key": (b'{"model.label_names": ["a"]}', "no value for model.label_names"),
    "unknown key": (b"data: {tsk: rte}\n", "found data.tsk. Did you mean data.task?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_that_cannot_be_used(mistake, parse, tmp_path):
    content, expected = MISTAKES[mistake]
    (tmp_path / "file.yaml").write_bytes(content)
    assert expected in parse("--config=file.yaml")


def test_other_things_than_files(parse, tmp_path):
    assert f"found the directory {tmp_path}" in parse(f"--config={tmp_path}")
    assert "found no file fit/gleu.yaml. Did you mean --config=fit/glue.yaml" in parse("--config=fit/gleu.yaml")
    (tmp_path / "section.yaml").write_bytes(b"\x80\x81")
    assert "UTF-8" in parse("--data=section.yaml")


INCLUDING = {
    "yaml": "config: [first.yaml, second.yaml]\ndata: {batch_size: 7}\n",
    "json": '{"config": ["first.yaml", "second.yaml"], "data.batch_size": 7}',
}


@pytest.mark.parametrize("form", INCLUDING)
def test_a_file_applies_after_the_files_that_it_includes_and_before_later_options(form, parse, tmp_path):
    (tmp_path / "first.yaml").write_text("data: {batch_size: 5, task: rte, max_length: 64}\n")
    (tmp_path / "second.yaml").write_text("config: objective/acl.yaml\ndata: {batch_size: 6, max_length: 32}\n")
    (tmp_path / "third.yaml").write_text("data: {task: mrpc, max_length: 128, train_rows: 9}\n")
    (tmp_path / "file").write_text(INCLUDING[form])
    settings = parse("--config=third.yaml", "--config=file", "--data.task=cola")
    assert (settings.data.batch_size, settings.data.max_length, settings.data.train_rows) == (7, 32, 9)
    assert settings.data.task == "cola"
    assert settings.model.objective.class_path.endswith("ACLObjective")
    names = [Path(str(name)).name for name in settings.config]
    assert names == ["third.yaml", "first.yaml", "acl.yaml", "second.yaml", "file"]


def test_the_command_line_takes_a_list_of_files_as_agents_write_it(parse, tmp_path):
    (tmp_path / "first.yaml").write_text("data: {batch_size: 5}\n")
    settings = parse("--config=['first.yaml', 'objective/acl.yaml']")
    assert settings.data.batch_size == 5
    assert settings.model.objective.class_path.endswith("ACLObjective")


INCLUSIONS = {
    "cycle": ("config: other.yaml\n", "found TMP/file.yaml -> TMP/other.yaml -> TMP/file.yaml. Remove the key config"),
    "missing": (
        "config: objective/acll.yaml\n",
        "no file objective/acll.yaml. Did you mean --config=objective/acl.yaml",
    ),
    "number": ("config: [3]\n", "a list of names, for config in file.yaml; found [3]. Set config to a name such as"),
    "linked": ("config: bad.yaml\n", "no value for data.shuffle_seed"),
}


@pytest.mark.parametrize("mistake", INCLUSIONS)
def test_inclusions_that_cannot_be_used(mistake, parse, tmp_path):
    content, expected = INCLUSIONS[mistake]
    (tmp_path / "file.yaml").write_text(content)
    (tmp_path / "other.yaml").write_text("config: file.yaml\n")
    (tmp_path / "bad.yaml").write_text("data: {shuffle_seed: 3}\n")
    assert expected.replace("TMP", str(tmp_path.resolve())) in parse("--config=file.yaml")


def run(*command: str, cwd: Path, **environment: str) -> None:
    done = subprocess.run(command, check=False, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_an_installed_wheel_runs_the_quickstart_from_another_directory(tmp_path, tiny_backbone):
    source, site, elsewhere = (tmp_path / name for name in ("source", "site", "elsewhere"))
    source.mkdir()
    elsewhere.mkdir()
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("acl_lightning", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(tmp_path), str(source), cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    run(*pip, "install", "--no-deps", "--target", str(site), str(wheel), cwd=tmp_path)
    shutil.rmtree(source)
    shipped = {path.relative_to(site / "acl_lightning/conf") for path in (site / "acl_lightning/conf").rglob("*.yaml")}
    assert shipped == {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    small = ("--data.synthetic_rows=64", "--data.max_length=32", "--trainer.max_epochs=1")
    quickstart = ("fit", "--config", "conf/quickstart.yaml", *small, f"--model.encoder.backbone={tiny_backbone}")
    arguments = (*quickstart, "--trainer.accelerator=cpu", "--run_dir=run", "--trainer.enable_progress_bar=false")
    run(sys.executable, "-m", "acl_lightning", *arguments, cwd=elsewhere, PYTHONPATH=str(site))
    assert (elsewhere / "run/result.json").is_file()
