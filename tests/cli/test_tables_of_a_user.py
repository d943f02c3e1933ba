"""`fit`, `predict` and the commands that read a run, on a table of the user."""

import csv
import io
import json
import sys

import pytest
import torch
import yaml

from acl_lightning.demo import answer, load_served
from acl_lightning.demo.answer import first_point
from acl_lightning.runs import load_run

TOPICS = ["billing", "bug", "login"]
ARGUMENTS = (
    "--config=fit/table.yaml",
    "--config=callbacks/early_stopping.yaml",
    "--data.train=messages.csv",
    "--data.text=body",
    "--data.label=topic",
    "--data.max_length=16",
    "--data.cache_dir=cache",
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.logger=false",
)


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def run(command, tmp_path, tiny_backbone):
    """A finished run on `messages.csv`, which is removed afterwards."""
    rows = [(row, f"message {row} about {TOPICS[row % 3]}", TOPICS[row % 3]) for row in range(60)]
    write(tmp_path / "messages.csv", ("nr", "body", "topic"), rows)
    backbone = f"--model.encoder.backbone={tiny_backbone}"
    code, error = command("fit", *ARGUMENTS, backbone, "--run_dir=run", defaults=False, draw=True)
    assert (code, error) == (0, "")
    (tmp_path / "messages.csv").unlink()
    return tmp_path / "run"


def predict(command, run, *arguments):
    checkpoint = f"--ckpt_path={run}/checkpoints/best.ckpt"
    return command("predict", f"--config={run}/config.yaml", checkpoint, *arguments, defaults=False)


def test_a_run_on_a_table_keeps_its_label_names_and_predicts_without_the_table(run, command, tmp_path, monkeypatch):
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["data_module"] == "acl_lightning.data.TableDataModule"
    assert config["data"]["label_names"] == TOPICS
    result = json.loads((run / "result.json").read_text())
    assert (result["task"], result["label_names"]) == ("messages", TOPICS)
    module, data = load_run(run)
    assert (module.label_names, data.info.text_columns) == (TOPICS, ("body",))

    served = load_served(run)  # for `demo`
    assert (served.label_names, served.text_columns, served.task_name) == (tuple(TOPICS), ("body",), "messages")
    exits = answer(served, ["message 7 about login"], *served.points[first_point(served)]).exits
    assert [set(one.probabilities) for one in exits] == [set(TOPICS)] * 3

    report = table(run / "class_report.csv")
    assert [row["class"] for row in report[:3]] == TOPICS
    assert sum(int(row["support"]) for row in report if row["exit_layer"] == "1") == 6
    confusion = table(run / "confusion.csv")
    assert sum(int(row["samples"]) for row in confusion if row["exit_layer"] == "3") == 6
    assert (run / "confusion.png").stat().st_size > 1000

    write(tmp_path / "new.csv", ("label", "body", "nr"), [("?", f"text, {row}", row) for row in range(5)])
    assert predict(command, run, "--data.predict=new.csv", "--run_dir=out", "--data.eval_batch_size=2") == (0, "")
    rows = lines(tmp_path / "out/predictions.jsonl")
    assert [(row["index"], row["nr"], row["body"], row["input_label"]) for row in rows] == [
        (number, f"{number}", f"text, {number}", "?") for number in range(5)
    ]
    with torch.no_grad():  # full depth, row by row
        tokens = [data.tokenizer(row["body"], return_tensors="pt") for row in rows]
        logits = torch.cat([module.encoder(**inputs).logits_EBC[-1] for inputs in tokens])
    assert [row["label"] for row in rows] == [TOPICS[index] for index in logits.argmax(dim=1)]

    output = ("--exit.output=answers.csv", "--exit.probabilities=true", "--run_dir=out")
    assert predict(command, run, "--data.predict=new.csv", "--data.max_tokens_per_batch=32", *output) == (0, "")
    answers = table(tmp_path / "out/answers.csv")
    assert list(answers[0])[:4] == ["index", "input_label", "body", "nr"]
    assert [row["label"] for row in answers] == [row["label"] for row in rows]
    for row, precise in zip(answers, logits.softmax(dim=1).tolist(), strict=True):
        assert [float(row[f"probability_{topic}"]) for topic in TOPICS] == pytest.approx(precise, abs=1e-5)

    piped_in = io.BytesIO(b'{"body": "hello", "tags": [1, 2]}\n{"body": "bye"}\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(piped_in))
    assert predict(command, run, "--data.predict=-", "--run_dir=piped") == (0, "")
    piped = lines(tmp_path / "piped/predictions.jsonl")
    assert [(row["body"], row["tags"]) for row in piped] == [("hello", [1, 2]), ("bye", None)]
    assert predict(command, run, "--run_dir=none")[1].startswith("error: expected a table to predict; found none.")


def test_a_killed_prediction_continues_and_foreign_data_modules_are_refused(run, command, tmp_path, monkeypatch):
    from acl_lightning.callbacks.prediction.output_file import PredictionFile

    write(tmp_path / "new.csv", ("body",), [(f"text {row}",) for row in range(7)])
    arguments = ("--data.predict=new.csv", "--run_dir=out", "--data.eval_batch_size=2")
    assert predict(command, run, *arguments) == (0, "")
    complete = (tmp_path / "out/predictions.jsonl").read_bytes()
    (tmp_path / "out/predictions.jsonl").unlink()
    written = []
    write_rows = PredictionFile.write

    def stop_after_two_batches(file, rows):
        rows = list(rows)
        written.append([row["index"] for row in rows])
        if len(written) == 3:
            raise KeyboardInterrupt
        write_rows(file, rows)

    monkeypatch.setattr(PredictionFile, "write", stop_after_two_batches)
    assert predict(command, run, *arguments)[0] == 130
    assert predict(command, run, *arguments) == (0, "")
    assert written == [[0, 1], [2, 3], [4, 5], [2, 3], [4, 5], [6]]
    assert (tmp_path / "out/predictions.jsonl").read_bytes() == complete

    # The run of somebody else: it cannot name a class of another package.
    config = (run / "config.yaml").read_text().replace("acl_lightning.data.TableDataModule", "subprocess.Popen")
    (run / "config.yaml").write_text(config)
    code, error = predict(command, run)
    assert code == 2
    assert "expected classes of acl_lightning; found subprocess.Popen. If you trust the code" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data.train=none.csv",), "error: expected a table at --data.train; found no file none.csv."),
        (("--data.train=t.csv", "--data.text=bod"), "Did you mean --data.text=body?"),
        (("--data.train=t.csv", "--data.task=rte"), "error: expected the name of a setting; found data.task."),
        (
            ("--data_module=NoSuch",),
            "expected a subclass of acl_lightning.data.TaskDataModule for data_module; found ac",
        ),
        (("--data_module=acl_lightning.ACLModule",), "found acl_lightning.ACLModule (not a subclass)"),
        (("--data.train=t.csv", "--data.metrics=[f2]"), "expected metrics among accuracy, f1, macro_f1, balanced_accu"),
        (("--data.train=t.csv", "--data.metrics=[pearson]"), "for 2 classes; found pearson. Set data.metrics"),
    ],
)
def test_mistakes_are_one_line(command, tmp_path, tiny_backbone, arguments, message):
    write(tmp_path / "t.csv", ("body", "label"), [(f"text {row}", "ab"[row % 2]) for row in range(20)])
    own = ("--data.text=body", f"--model.encoder.backbone={tiny_backbone}", "--trainer.accelerator=cpu")
    code, error = command("fit", "--config=fit/table.yaml", *own, *arguments, defaults=False)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
