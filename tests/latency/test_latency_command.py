"""`python -m acl_lightning latency`: what it writes about a run, and one line for every mistake."""

import csv
import json
import re

import pytest
import torch
from finished_runs import finish_run

from acl_lightning.cli import main
from acl_lightning.encoders import EncoderConfig, exit_flops, full_depth_flops, static_exit_flops
from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence, LatencyTable, MaxLatency, MinMeasuredSpeedup, Static
from acl_lightning.exits.inference import MODES
from acl_lightning.latency import measure, plain_model
from acl_lightning.latency.inputs import singles, text_batches, validation_batches
from acl_lightning.runs import load_run, read_result


@pytest.fixture(scope="module")
def run(tiny_backbone, tmp_path_factory):
    """Three layers, and an operating point `first` at which all samples leave at exit 1."""
    return finish_run(tiny_backbone, tmp_path_factory.mktemp("latency") / "run")


def latency(run, *arguments):
    return main(["latency", str(run), "--repeats=1", "--batch_size=4", *arguments])


def rows_of(path):
    with path.open() as table:
        return list(csv.DictReader(table))


def test_every_point_is_timed_in_every_mode(run, tmp_path, capsys):
    assert latency(run, "--rows=10", f"--out={tmp_path}", "--device=cpu") == 0
    recommended = json.loads((run / "result.json").read_text())["recommended"]
    rows = rows_of(tmp_path / "latency.csv")
    points = ["full_depth", *recommended]
    assert [(row["mode"], row["operating_point"]) for row in rows] == [(m, p) for m in MODES for p in points]
    full, first = rows[:2]
    assert (float(full["mean_exit_layer"]), float(first["mean_exit_layer"])) == (3, 1)
    assert (float(full["layer_speedup"]), float(first["layer_speedup"])) == (1, 3)
    assert float(first["quality"]) == pytest.approx(recommended["first"]["quality"])
    assert 0 <= float(full["quality"]) <= 1
    for row in rows:
        low, median, high = (float(row[f"measured_speedup{suffix}"]) for suffix in ("_low", "", "_high"))
        assert 0 < low <= median <= high
        assert float(row["milliseconds"]) > 0
        assert row["device"].startswith("cpu (")
        assert (row["threads"], row["samples"], row["batch_size"]) == (str(torch.get_num_threads()), "10", "4")
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "10 samples" in printed
    assert "throughput" in printed
    assert [row["exit_layer"] for row in rows_of(tmp_path / "exit_latency.csv")] == ["1", "2", "3"]
    exits = rows_of(tmp_path / "exit_latency.csv")
    assert {(row["mode"], row["batch_size"], row["samples"]) for row in exits} == {("latency", "4", "10")}
    assert all(float(row["static_milliseconds"]) > 0 for row in exits)
    table = str(tmp_path / "exit_latency.csv")
    MaxLatency(1.0, table)  # budgets read it
    MinMeasuredSpeedup(0.01, table)
    assert LatencyTable.read(table).layers_E == (1, 2, 3)
    given = [f"--table={table}", "--measured-speed=0.001", "--max-drop=100"]
    assert main(["points", str(run), *given]) == 0
    added = read_result(run).points
    assert {"measured0.001", "drop100_measured"} <= set(added)
    (run / "points.json").unlink()


def test_one_point_in_one_mode_on_texts_of_the_user(run, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("a fine film\n\nnot a good film at all\nfine\n")
    given = ("--operating_point", "first", "--mode", "batch", f"--data={texts}", f"--out={tmp_path}")
    assert latency(run, *given) == 0
    rows = rows_of(tmp_path / "latency.csv")
    assert [(row["mode"], row["operating_point"], row["samples"]) for row in rows] == [
        ("batch", "full_depth", "3"),
        ("batch", "first", "3"),
    ]


def test_the_inputs_are_those_of_the_model(run, tmp_path):
    _, data = load_run(run)
    batches = validation_batches(data, 4, 10)
    assert [len(batch["input_ids"]) for batch in batches] == [4, 4, 2]
    assert all(set(batch) == {"input_ids", "attention_mask", "token_type_ids"} for batch in batches)
    alone = singles(batches)
    assert len(alone) == 10
    assert all(bool(one["attention_mask"].all()) for one in alone)
    ids = data.rows("validation").__getitems__([5])["input_ids"][0]
    assert torch.equal(alone[5]["input_ids"][0], ids)
    (tmp_path / "own.txt").write_text(data.texts("validation", 5)["sentence"] + "\n")
    assert torch.equal(text_batches(data, tmp_path / "own.txt", 4, 10)[0]["input_ids"][0], ids)


def test_exit_layers_and_flops_are_those_of_the_inputs(tiny_backbone):
    torch.manual_seed(0)
    encoder = EncoderConfig(tiny_backbone).build(2).eval()
    reference = plain_model(tiny_backbone, 2, torch.device("cpu"))
    assert type(reference).__name__ == "BertForSequenceClassification"
    assert not reference.training
    ids = torch.full((4, 6), 1000)
    batches = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)}] * 2
    points = {"second": (Static(), 2.0), "never": (Confidence(), 1.0)}
    second, never = measure(encoder, reference, points, batches, modes=["batch"], repeats=1)
    assert (second.mean_exit_layer, second.layer_speedup) == (2.0, 1.5)
    assert never.mean_exit_layer == 3.0
    assert second.flops_speedup > 1 > never.flops_speedup  # heads on the way cost something
    assert (second.name, second.mode, second.criterion) == ("second", "batch", "static")
    assert second.flops_speedup == full_depth_flops(encoder, 6) / static_exit_flops(encoder, 6)[1]
    alone, _ = measure(encoder, reference, points, batches, modes=["latency"], repeats=1)
    assert alone.flops_speedup == pytest.approx(second.flops_speedup)  # a static exit computes the same in every mode


def test_flops_are_those_of_the_mode(tiny_backbone):
    """4 samples of 40 tokens: together the exit row comes first, one by one the layer is computed whole."""
    torch.manual_seed(0)
    encoder = EncoderConfig(tiny_backbone).build(2).eval()
    reference = plain_model(tiny_backbone, 2, torch.device("cpu"))
    ids = torch.full((4, 40), 1000)
    batches = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)}]
    points = {"first": (Confidence(), 0.0)}
    times = {time.mode: time for time in measure(encoder, reference, points, batches, modes=list(MODES), repeats=1)}
    full = full_depth_flops(encoder, 40)
    assert times["batch"].flops_speedup == full / exit_flops(encoder, 40)[0]
    assert times["throughput"].flops_speedup == full / exit_flops(encoder, 40)[0]
    assert times["latency"].flops_speedup == pytest.approx(full / exit_flops(encoder, 40, whole_layers=True)[0])
    assert times["latency"].flops_speedup < times["batch"].flops_speedup


def test_names_of_the_same_point_share_a_measurement(tiny_backbone):
    encoder = EncoderConfig(tiny_backbone).build(2).eval()
    reference = plain_model(tiny_backbone, 2, torch.device("cpu"))
    ids = torch.full((4, 6), 1000)
    batches = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)}]
    points = {"drop0": (Confidence(), 0.9), "third": (Confidence(), 1.0), "drop1": (Confidence(), 0.9)}
    drop0, third, drop1 = measure(encoder, reference, points, batches, modes=["batch"], repeats=1)
    assert [time.name for time in (drop0, third, drop1)] == list(points)
    assert drop1.milliseconds == drop0.milliseconds != third.milliseconds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "fast"], r"modes among latency, batch, throughput; found 'fast'"),
        (["--batch_size=0"], r"--batch_size of 1 or more; found 0"),
        (["--repeats=0"], r"--repeats of 1 or more; found 0"),
        (["--rows=0"], r"--rows of 1 or more; found 0"),
        (["--operating_point", "drop9"], r"an operating point among: first, drop0, drop1, drop2; found 'drop9'"),
        (["--data=missing.txt"], r"a text file at missing.txt; found .*No such file"),
        (["--text_column=sentence"], r"--data together with --text_column; found none"),
        (["--device=abacus"], r"a device of this machine; found 'abacus' .*Set --device cpu"),
        (["--device=meta:x"], r"a device of this machine; found 'meta:x'"),
        (["--ckpt_path=missing.ckpt"], r"a checkpoint at missing.ckpt; found no such file"),
    ],
)
def test_mistakes_get_one_line(run, tmp_path, arguments, message, capsys):
    assert main(["latency", str(run), f"--out={tmp_path}", *arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_texts_with_another_number_of_columns_are_refused(run, tmp_path):
    _, data = load_run(run)
    path = tmp_path / "texts.txt"
    errors = {"one\ttwo\n": r"1 text\(s\) per line .*; found 2 in text 1", "\n": "texts in .*; found none"}
    for text, message in errors.items():
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            text_batches(data, path, 4, 10)


def test_a_run_without_a_result_is_refused(tmp_path, capsys):
    assert main(["latency", str(tmp_path)]) == 2
    assert "the result of a run at" in capsys.readouterr().err
