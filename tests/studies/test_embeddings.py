"""The command that puts representations side by side: what it writes, what it refuses."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fabricated_runs import fabricate

from acl_lightning.cli import main

MEASURES = ("alignment", "uniformity", "label_margin")
ACL = {
    "model__objective": {
        "class_path": "objectives.WeightedObjective",
        "init_args": {"auxiliary": "objectives.ACLEmbed"},
    }
}


def represent(directory, alignments=(1.0, 0.5), layers=(2,), samples=12) -> Path:
    """Add to a fabricated run what `RepresentationDiagnostics` writes; the real one does in the last test but one."""
    with (directory / "representation.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["exit_layer", "samples", *MEASURES])
        for layer, alignment in enumerate(alignments, 1):
            table.writerow([layer, samples, alignment, -2.5, ""])
    vectors = np.random.default_rng(0).normal(size=(len(layers), samples, 4))
    np.savez_compressed(
        directory / "embeddings.npz",
        vectors_KnD=(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16),
        layers_K=np.array(layers),
        labels_n=np.arange(samples) % 2,
        index_n=np.arange(samples),
        label_vectors_KCD=np.stack([np.eye(4, dtype=np.float16)[:2]] * len(layers)),
        label_names_C=np.array(["negative", "positive"]),
        task=np.array("sst2"),
    )
    return directory


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def runs(tmp_path):
    """Two seeds of CE and one of ACL."""
    return [
        represent(fabricate(tmp_path / "ce0", 0), (1.0, 0.5)),
        represent(fabricate(tmp_path / "ce1", 1, (0.6, 0.9)), (1.0, 0.7)),
        represent(fabricate(tmp_path / "acl0", 0, **ACL), (0.9, 0.2)),
    ]


def study(out, *runs, options=()):
    return main(["embeddings", *map(str, runs), "--out", str(out), *options])


def rows(path):
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


@pytest.fixture
def figures(monkeypatch):
    """What the figure was asked to draw."""
    from acl_lightning.studies import embeddings

    asked = []
    real = embeddings.embedding_map_figure

    def record(columns, label_names, *, title):
        asked.append((columns, label_names, title))
        return real(columns, label_names, title=title)

    monkeypatch.setattr(embeddings, "embedding_map_figure", record)
    return asked


def test_tables_join_runs_and_average_over_seeds(runs, out, capsys):
    assert study(out, *runs, options=["--names=CE,ACL"]) == 0
    names = {"representation.csv", "representation_summary.csv", "representation.md", "embeddings.png"}
    assert {path.name for path in out.iterdir()} == names | {"provenance.json"}
    joined = rows(out / "representation.csv")
    assert [(row["group"], row["run"], row["seed"], row["exit_layer"]) for row in joined] == [
        *(("CE", "ce0", "0", layer) for layer in "12"),
        *(("CE", "ce1", "1", layer) for layer in "12"),
        *(("ACL", "acl0", "0", layer) for layer in "12"),
    ]
    assert joined[3] == {
        **{"group": "CE", "run": "ce1", "seed": "1", "train_rows": "100", "samples": "12", "exit_layer": "2"},
        **{"accuracy": "0.9", "alignment": "0.7", "uniformity": "-2.5", "label_margin": ""},
    }
    _, deep, _, single = rows(out / "representation_summary.csv")
    assert (deep["group"], deep["n"], deep["exit_layer"]) == ("CE", "2", "2")
    assert float(deep["alignment_mean"]) == pytest.approx(0.6)
    assert float(deep["alignment_std"]) == pytest.approx(0.2 / math.sqrt(2))
    assert float(deep["accuracy_mean"]) == pytest.approx(0.85)
    assert (single["n"], single["alignment_mean"], single["alignment_std"]) == ("1", "0.2", "")
    assert single["label_margin_mean"] == ""
    printed = capsys.readouterr().out
    assert "85.0 ± 7.1" in printed
    text = (out / "representation.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| ACL") and "| 2 |" in line.replace("    ", " ")]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        *("ACL", "1", "2", "80.0", "0.20", "-2.50", "undefined")
    ]


def test_one_column_per_group_shows_its_first_seed(runs, out, figures):
    assert study(out, *runs) == 0
    ((columns, label_names, title),) = figures
    assert [column.title.split(", ")[-1] for column in columns] == ["seed 0", "seed 0"]
    assert ["ACLEmbed" in column.title for column in columns] == [False, True]
    assert [column.measures["alignment"] for column in columns] == [0.5, 0.2]
    assert math.isnan(columns[0].measures["label_margin"])
    assert label_names == ["negative", "positive"]
    assert title == "sst2, exit 2, 12 of 12 validation samples, one seed of each"
    np.testing.assert_array_equal(columns[0].labels_n, np.arange(12) % 2)
    assert columns[0].vectors_nD.dtype == np.float64


def test_samples_beyond_the_limit_are_not_drawn(runs, out, figures, monkeypatch):
    monkeypatch.setattr("acl_lightning.studies.embeddings.MAP_ROWS", 5)
    assert study(out, *runs) == 0
    ((columns, _, title),) = figures
    assert {len(column.vectors_nD) for column in columns} == {5}
    assert len({column.labels_n.tobytes() for column in columns}) == 1
    assert "5 of 12" in title


def test_the_deepest_common_exit_or_the_one_asked_for(tmp_path, out, figures):
    both = represent(fabricate(tmp_path / "both"), layers=(1, 2))
    first = represent(fabricate(tmp_path / "first", **ACL), layers=(1,))
    assert study(out, both, first) == 0
    assert study(out, both, options=["--layer=1"]) == 0
    assert study(out, both) == 0
    assert [title.split(",")[1] for _, _, title in figures] == [" exit 1", " exit 1", " exit 2"]


def test_training_sizes_are_told_apart(tmp_path, out):
    few = represent(fabricate(tmp_path / "few"))
    many = represent(fabricate(tmp_path / "many", data__train_rows=1000))
    assert study(out, few, many) == 0
    assert [row["group"] for row in rows(out / "representation_summary.csv")[::2]] == [
        *("100 training rows, all runs", "1000 training rows, all runs")
    ]


def test_provenance(runs, out):
    assert study(out, *runs) == 0
    origin = json.loads((out / "provenance.json").read_text())
    assert origin["command"][:4] == ["python", "-m", "acl_lightning", "embeddings"]
    assert origin["runs"]["commits"] == {"abc": 3}


def nothing(tmp_path):
    return (tmp_path / "nothing",), (), f"expected a run directory at {tmp_path / 'nothing'}; found nothing."


def twice(tmp_path):
    run = represent(fabricate(tmp_path / "run"))
    return (run, run.parent / "." / "run"), (), "expected every run once; found"


def unfinished(tmp_path):
    failed = fabricate(tmp_path / "failed", changes={"status": "failed", "error": "RuntimeError: no memory"})
    return (failed,), (), "expected finished runs; found failed (failed: RuntimeError: no memory)."


def two_tasks(tmp_path):
    return (
        (represent(fabricate(tmp_path / "a")), represent(fabricate(tmp_path / "b", task="rte"))),
        (),
        "expected runs of one task; found sst2, rte.",
    )


def without_the_callback(tmp_path):
    return (
        (fabricate(tmp_path / "run"),),
        (),
        "found no such file. Run `fit` or `validate` with --config conf/callbacks/repr",
    )


def without_vectors(tmp_path):
    run = represent(fabricate(tmp_path / "run"))
    (run / "embeddings.npz").unlink()
    return (run,), (), f"expected embeddings of a run at {run / 'embeddings.npz'}; found no such file."


def damaged_vectors(tmp_path):
    run = represent(fabricate(tmp_path / "run"))
    (run / "embeddings.npz").write_bytes((run / "embeddings.npz").read_bytes()[:200])
    return (run,), (), "found a damaged file (BadZipFile: "


def damaged_table(tmp_path):
    run = represent(fabricate(tmp_path / "run"))
    (run / "representation.csv").write_text("exit_layer,samples,alignment\n1,12,much\n")
    return (run,), (), "found a damaged file (ValueError: "


def wrong_names(tmp_path):
    return (represent(fabricate(tmp_path / "run")),), ("--names=A,B",), "expected 1 different names, one per group; fou"


def absent_layer(tmp_path):
    run = represent(fabricate(tmp_path / "run"))
    return (run,), ("--layer=1",), "expected exit 1 whose embeddings all runs stored; found run: 2."


MISTAKES = [
    *(nothing, twice, unfinished, two_tasks, without_the_callback, without_vectors, damaged_vectors, damaged_table),
    *(wrong_names, absent_layer),
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_code_2_and_nothing_written(mistake, tmp_path, out, capsys):
    runs, options, message = mistake(tmp_path)
    assert study(out, *runs, options=options) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert message in said.err
    assert (said.err.count("\n"), said.out, out.exists()) == (1, "", False)


def test_the_command_needs_neither_torch_nor_lightning(runs, out):
    code = (
        "import sys; from acl_lightning.cli import main; "
        f"assert main(['embeddings', {str(runs[0])!r}, '--out', {str(out)!r}]) == 0; "
        "assert not {'torch', 'lightning', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)


def test_python_dash_m_without_a_warning():
    command = [sys.executable, "-W", "error", "-m", "acl_lightning", "embeddings", "--help"]
    assert "--layer" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_real_run_is_read(command, tmp_path, out):
    run = tmp_path / "real"
    conf = Path(__file__).parents[2] / "conf/callbacks/representation.yaml"
    assert command("fit", f"--config={conf}", f"--run_dir={run}")[0] == 0
    assert study(out, run) == 0
    written, read = rows(run / "representation.csv"), rows(out / "representation.csv")
    assert [float(row["alignment"]) for row in read] == pytest.approx([float(row["alignment"]) for row in written])
    results = json.loads((run / "result.json").read_text())
    assert [float(row["accuracy"]) for row in read] == pytest.approx([row["accuracy"] for row in results["per_exit"]])
    assert (out / "embeddings.png").stat().st_size < 200_000
