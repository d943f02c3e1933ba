"""Tests of `score`: every row of every format once, in order, also after a kill, without torch."""

import csv
import gc
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packages import random_texts

from acl_lightning.cli import main
from acl_lightning.cli.deploy.score import main as score_command
from acl_lightning.errors import UserError
from acl_lightning.scoring import table_scoring
from acl_lightning.scoring.progress import ScoringProgress
from acl_lightning.scoring.score_file import ScoreFile
from acl_lightning.serving import AdaptiveSession

TEXTS = random_texts(60)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(table_scoring, "BLOCK_ROWS", 16)


@pytest.fixture(scope="module")
def expected(scored_package):
    """Confidence and exit layer of each of `TEXTS`, answered one at a time."""
    answers = AdaptiveSession(scored_package, "half", "latency")(TEXTS)
    assert set(answers.exit_layers.tolist()) == {1, 2, 4}
    return list(zip(answers.confidences.tolist(), answers.exit_layers.tolist(), strict=True))


def answered(rows):
    """Confidence and exit layer of output rows."""
    return [(pytest.approx(float(row["confidence"]), abs=1e-4), int(row["exit_layer"])) for row in rows]


def write_rows(path, rows):
    """Write dictionaries as CSV, TSV, JSON Lines, Parquet or text."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".txt":
        path.write_text("".join(row["sentence"] + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    return path


def read_rows(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return list(csv.DictReader(io.StringIO(path.read_text())))


def table(rows=TEXTS):
    return [{"id": number, "sentence": text, "label": "b"} for number, text in enumerate(rows)]


def arguments(package, source, output, *others):
    return [str(package), "--input", str(source), "--output", str(output), *others]


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("rows.csv", "scores.csv"),
        ("rows.tsv", "scores.jsonl"),
        ("rows.jsonl", "scores.jsonl"),
        ("rows.jsonl", "scores.csv"),
        ("rows.parquet", "scores.parquet"),
        ("rows.txt", "scores.parquet"),
    ],
)
def test_every_column_is_carried_beside_the_answers_in_order(
    scored_package, expected, tmp_path, capsys, source, output
):
    path = write_rows(tmp_path / source, table())
    assert score_command(arguments(scored_package, path, tmp_path / output)) == 0
    rows = read_rows(tmp_path / output)
    assert answered(rows) == expected
    assert {row["label"] for row in rows} <= {"bad", "fair", "good"}
    if source == "rows.txt":
        assert [row["text"] for row in rows] == TEXTS
    else:
        carried = [(int(row["id"]), row["sentence"], row["input_label"]) for row in rows]
        assert carried == [(number, text, "b") for number, text in enumerate(TEXTS)]
    if source == "rows.parquet":
        schema = pq.read_schema(tmp_path / output)
        assert [str(field.type) for field in schema] == ["int64", "string", "string", "string", "double", "int64"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([source, output])
    assert "written: 60 rows, mean exit layer" in capsys.readouterr().out


class Killed(BaseException):
    """Stands for the end of the process."""


def run_and_kill(command, blocks, damage=b""):
    """Run the command until it dies after some blocks, in the middle of the next one."""
    append, done = ScoreFile.append, []

    def dying(self, columns):
        if len(done) == blocks:
            self._file.write(damage)
            raise Killed
        done.append(1)
        append(self, columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScoreFile, "append", dying)
        with pytest.raises(Killed):
            score_command(command)


@pytest.mark.parametrize(("suffix", "blocks"), [(".csv", 0), (".csv", 2), (".jsonl", 3), (".parquet", 2)])
def test_a_killed_command_continues_to_the_same_rows(scored_package, tmp_path, monkeypatch, capsys, suffix, blocks):
    path = write_rows(tmp_path / f"rows{suffix}", table())
    whole, killed = tmp_path / f"whole{suffix}", tmp_path / f"killed{suffix}"
    score_command(arguments(scored_package, path, whole))
    run_and_kill(arguments(scored_package, path, killed), blocks, b'{"id": 7, "sen')
    assert not killed.exists()
    calls = []
    decide = AdaptiveSession.decide
    monkeypatch.setattr(AdaptiveSession, "decide", lambda *args: calls.append(1) or decide(*args))
    score_command(arguments(scored_package, path, killed))
    assert len(calls) == 4 - blocks
    assert whole.read_bytes() == killed.read_bytes()
    note = f"{16 * blocks} of them by an earlier command"
    assert (note in capsys.readouterr().out) == (blocks > 0)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([path.name, whole.name, killed.name])


def test_a_command_that_was_killed_while_it_finished_continues_with_its_report(scored_package, tmp_path, monkeypatch):
    path, output, report = write_rows(tmp_path / "rows.csv", table()), tmp_path / "scores.csv", tmp_path / "report.json"
    command = arguments(scored_package, path, output, "--report", str(report))
    with monkeypatch.context() as patch:
        patch.setattr(ScoreFile, "finish", lambda self: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            score_command(command)
    assert not report.exists()
    assert score_command(command) == 0
    assert json.loads(report.read_text())["rows"] == len(read_rows(output)) == len(TEXTS)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["report.json", "rows.csv", "scores.csv"]


def test_a_file_that_grew_continues_within_a_block(scored_package, expected, tmp_path, monkeypatch):
    output = tmp_path / "scores.jsonl"
    path = write_rows(tmp_path / "rows.jsonl", table(TEXTS[:20]))
    with monkeypatch.context() as patch:
        patch.setattr(ScoreFile, "finish", lambda self: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            score_command(arguments(scored_package, path, output))
    write_rows(path, table())
    score_command(arguments(scored_package, path, output))
    assert answered(read_rows(output)) == expected


def test_another_input_package_or_point_does_not_continue(scored_package, tmp_path, monkeypatch):
    output = tmp_path / "scores.csv"
    path = write_rows(tmp_path / "rows.csv", table())
    run_and_kill(arguments(scored_package, path, output), 2)
    part = (tmp_path / ".scores.csv.part").read_bytes()
    remedy = r".*or remove .*\.scores\.csv\.part to begin anew"
    with pytest.raises(UserError, match=r"the operating point with which .* begun .half.; found entropy"):
        score_command([*arguments(scored_package, path, output), "--operating-point", "entropy"])
    changed = shutil.copytree(scored_package, tmp_path / "changed")
    (changed / "manifest.json").write_text((changed / "manifest.json").read_text() + "\n")
    with pytest.raises(UserError, match="the package with which the output was begun" + remedy):
        score_command(arguments(changed, path, output))
    write_rows(path, table([TEXTS[1], *TEXTS[1:]]))
    with pytest.raises(UserError, match="the first rows of the input; found those of the 32 rows in" + remedy):
        score_command(arguments(scored_package, path, output))
    write_rows(path, table(TEXTS[:31]))
    with pytest.raises(UserError, match="32 rows or more in the input; found 31" + remedy):
        score_command(arguments(scored_package, path, output))
    write_rows(path, [{"sentence": text} for text in TEXTS])
    with pytest.raises(UserError, match=r"input columns with which .* begun .id, sentence, label.; found sentence"):
        score_command(arguments(scored_package, path, output))
    (tmp_path / ".scores.csv.journal").write_text('{"rows": 3')
    with pytest.raises(UserError, match=r"an undamaged file .*\.scores\.csv\.journal"):
        score_command(arguments(scored_package, path, output))
    assert (tmp_path / ".scores.csv.part").read_bytes() == part


def test_two_commands_do_not_write_the_same_file(scored_package, tmp_path, monkeypatch):
    path = write_rows(tmp_path / "rows.csv", table())
    command = arguments(scored_package, path, tmp_path / "scores.csv")

    def second(self):
        with pytest.raises(UserError, match=r"no other process that writes .*; found a running process. Set --output"):
            score_command(command)

    monkeypatch.setattr(ScoringProgress, "__enter__", lambda self: second(self) or self)
    assert score_command(command) == 0


INVALID = {
    "empty": ("", "a text in column 'sentence', line 4 of .*rows.csv; found an empty value"),
    "blank": ("  ", "a text in column 'sentence', line 4 of .*; found an empty value"),
    "huge": ("w5 " * 40, "at most 100 characters in column 'sentence', line 4 of .*; found 120"),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_row_without_a_valid_text_is_named_or_written_without_an_answer(scored_package, tmp_path, name):
    text, message = INVALID[name]
    path, output = tmp_path / "rows.csv", tmp_path / "scores.jsonl"
    write_rows(path, table(["w5", "w6", text, "w7"]))
    command = arguments(scored_package, path, output, "--max-characters", "100")
    with pytest.raises(UserError, match=message + r"\. Correct the row, or add --skip-invalid"):
        score_command(command)
    assert score_command([*command, "--skip-invalid"]) == 0
    rows = read_rows(output)
    assert [row["sentence"] for row in rows] == ["w5", "w6", text, "w7"]
    assert [row["exit_layer"] is None for row in rows] == [False, False, True, False]
    assert rows[2]["label"] is rows[2]["confidence"] is None


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".txt"])
@pytest.mark.parametrize("output", ["scores.jsonl", "scores.csv"])
def test_bytes_that_are_not_text_are_named_or_replaced(scored_package, tmp_path, suffix, output):
    path = write_rows(tmp_path / f"rows{suffix}", [{"sentence": "w5"}, {"sentence": "w6 X"}, {"sentence": "w7"}])
    path.write_bytes(path.read_bytes().replace(b"X", b"\xff"))
    command = arguments(scored_package, path, tmp_path / output)
    with pytest.raises(UserError, match=r"text in UTF-8 in .*, line \d; found the byte 0xff. .*set --encoding"):
        score_command(command)
    assert score_command([*command, "--skip-invalid"]) == 0
    rows = read_rows(tmp_path / output)
    assert [next(iter(row.values())) for row in rows] == ["w5", "w6 \ufffd", "w7"]
    assert [bool(row["label"]) for row in rows] == [True, False, True]


MISTAKES = {
    "missing column": (
        ["--text", "Sentense"],
        "a column 'Sentense' in .*; found the columns id, sentence, label. Did you",
    ),
    "delimiter of the only column": (["--input", "semicolons.csv"], "a column 'sentence' in .*Set --delimiter ';'"),
    "comma in a TSV": (["--input", "commas.tsv"], "a column 'sentence' in .*Set --delimiter ','"),
    "two columns": (
        ["--text", "id", "sentence"],
        "one text column as --text, for the package's sentence; found id, sent",
    ),
    "number": (["--text", "id"], "a text in column 'id', line 1 of .*; found a value of the type int"),
    "unknown point": (["--operating-point", "drop7"], "an operating point among: confidence, .*; found 'drop7'"),
    "unknown suffix": (["--output", "scores.xlsx"], "suffixes .csv, .jsonl, .parquet; found scores.xlsx"),
    "types": (["--output", "scores.parquet"], "a .jsonl or .csv output for JSON Lines"),
    "no file": (["--input", "absent.csv"], "a file absent.csv; found no such file. Set --input"),
    "input suffix": (["--input", "rows.doc"], "suffixes .csv, .*; found rows.doc. Set --input-format"),
    "standard input": (["--input", "-"], "--input-format csv, .* for standard input; found none. Add"),
    "encoding": (["--encoding", "utf-16"], "--encoding that extends ASCII.*; found 'utf-16'"),
    "no validation": (
        ["--report", "report.json", "--operating-point", "entropy"],
        "exits of the validation rows at the operating point entropy",
    ),
    "label alone": (["--label", "label"], "--report together with --label; found none"),
    "output exists": (["--output", "old.jsonl"], "a new file old.jsonl; found one that exists.*or add --overwrite"),
    "empty input": (["--input", "empty.jsonl"], "JSON objects in empty.jsonl; found an empty file"),
    "no rows": (["--input", "header.csv"], "rows in the input; found none"),
    "no rows for a report": (["--input", "header.csv", "--report", "report.json"], "rows in the input; found none"),
    "provider": (["--providers", "NoSuch"], "execution providers among .*CPUExecutionProvider.*; found NoSuch"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_no_file(scored_package, tmp_path, monkeypatch, capsys, name):
    options, message = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", table(["w5", "w6"]))
    for file, content in {
        "rows.doc": "w5",
        "empty.jsonl": "",
        "header.csv": "id,sentence\n",
        "semicolons.csv": "id;sentence\n1;w5\n",
        "commas.tsv": "sentence,id\nw5,1\n",
        "old.jsonl": "old",
    }.items():
        (tmp_path / file).write_text(content)
    before = sorted(tmp_path.iterdir())
    command = ["score", *arguments(scored_package, "rows.jsonl", "scores.jsonl"), *options]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    with pytest.raises(UserError, match=message):
        score_command(command[1:])
    left = [path for path in sorted(tmp_path.iterdir()) if path not in before]
    assert [path.name for path in left] in ([], [".scores.jsonl.part"])  # nothing that looks complete
    assert (tmp_path / "old.jsonl").read_text() == "old"


def test_an_existing_output_stays_until_it_is_replaced(scored_package, tmp_path, monkeypatch):
    path, output = write_rows(tmp_path / "rows.csv", table()), tmp_path / "scores.csv"
    output.write_text("old")
    run_and_kill(arguments(scored_package, path, output, "--overwrite"), 2)
    assert output.read_text() == "old"
    score_command(arguments(scored_package, path, output, "--overwrite"))
    assert len(read_rows(output)) == len(TEXTS)


def test_a_key_that_the_header_lacks_is_refused(scored_package, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"sentence": "w5"}\n' * 1001 + '{"sentence": "w6", "other": 1}\n')
    with pytest.raises(UserError, match=r"found a further key 'other'. Set --output to a .jsonl file"):
        score_command(arguments(scored_package, path, tmp_path / "scores.csv"))


def test_a_full_disk_is_one_line_and_the_command_continues(scored_package, tmp_path, monkeypatch):
    path, output = write_rows(tmp_path / "rows.csv", table()), tmp_path / "scores.csv"
    command, append, blocks = arguments(scored_package, path, output), ScoreFile.append, []

    def full(self, columns):
        blocks.append(1)
        if len(blocks) == 3:
            self._file.close()
            self._file = open("/dev/full", "ab")  # noqa: PTH123, SIM115
        append(self, columns)

    with monkeypatch.context() as patch:
        patch.setattr(ScoreFile, "append", full)
        with pytest.raises(UserError, match=r"to write .*scores\.csv; found No space left.*continues where it stopped"):
            score_command(command)
    assert not output.exists()
    assert score_command(command) == 0
    assert [row["sentence"] for row in read_rows(output)] == TEXTS


def test_memory_does_not_grow_with_the_rows(scored_package, tmp_path, monkeypatch):
    rows = [{"id": f"{number:05000d}", "sentence": "w5"} for number in range(400)]
    path = write_rows(tmp_path / "rows.csv", rows)
    sizes = {}

    def measured(self, rows):
        if rows in (80, 400):
            gc.collect()
            sizes[rows] = tracemalloc.get_traced_memory()[0]

    monkeypatch.setattr(ScoringProgress, "update", measured)
    tracemalloc.start()
    try:
        score_command(arguments(scored_package, path, tmp_path / "scores.csv"))
    finally:
        tracemalloc.stop()
    assert sizes[400] - sizes[80] < 320 * 5000 / 5  # a row that is kept takes more than 5000 bytes


def test_progress_without_a_terminal_is_a_line(monkeypatch, capsys):
    progress = ScoringProgress(1000, resumed=100)
    progress.update(200)
    assert capsys.readouterr().err == ""
    progress._start -= 10
    progress._last -= 10
    progress.update(300)
    assert capsys.readouterr().err.startswith("300 of 1,000 rows, 20 rows/s")


def test_progress_without_rich_is_a_line_in_a_terminal_too(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for name in ("rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    with ScoringProgress(None) as progress:
        progress._last -= 10
        progress.update(300)
    assert "300 rows, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("pyarrow", ["--output", "scores.parquet"], "the package pyarrow, for Parquet; found none. Install it"),
        ("pyarrow", ["--input", "rows.parquet"], "the package pyarrow, for Parquet; found none. Install it"),
        ("acl_lightning.scoring", [], r"the package acl_lightning.scoring; found none. .*'acl-lightning\[serve\]'"),
    ],
)
def test_a_package_that_is_not_installed_is_named(scored_package, tmp_path, monkeypatch, module, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    write_rows(tmp_path / "rows.csv", table())
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=message):
        score_command([*arguments(scored_package, "rows.csv", "scores.csv"), *options])


PROGRAM = """
import sys
from acl_lightning.cli import main
from acl_lightning.scoring import table_scoring
table_scoring.BLOCK_ROWS = 16
assert main(sys.argv[1:]) == 0
loaded = {"torch", "transformers", "lightning", "datasets", "pyarrow", "rich"} & sys.modules.keys()
assert not loaded, loaded
"""


def test_standard_input_is_scored_without_torch_and_continued_after_a_kill(scored_package, expected, tmp_path):
    lines = "".join(f"{text}\n" for text in TEXTS).encode()
    output, journal = tmp_path / "scores.csv", tmp_path / ".scores.csv.journal"
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "score",
        *arguments(scored_package, "-", output, "--input-format", "text"),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(b"".join(lines.splitlines(keepends=True)[:40]))
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not (journal.exists() and json.loads(journal.read_text())["rows"] == 32):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    result = subprocess.run(command, input=lines, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    assert b"32 of them by an earlier command" in result.stdout
    assert answered(read_rows(output)) == expected
