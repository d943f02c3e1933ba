"""Reader of the official TSV files."""

import pytest

from acl_lightning.data.glue_files import read_split
from acl_lightning.data.tasks import TASKS
from acl_lightning.errors import UserError

MNLI_HEAD = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2"
)
STSB_HEAD = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"


def write(root, directory, name, text):
    (root / directory).mkdir(exist_ok=True)
    (root / directory / name).write_bytes(text.encode())
    return root


# An example of each official file layout: task, split, directory, file, content, expected rows.
LAYOUTS = [
    (
        "cola",
        "train",
        "CoLA",
        "train.tsv",
        "gj04\t1\t\tIt is.\nbc01\t0\t*\tIs it the.",
        [("It is.", 1), ("Is it the.", 0)],
    ),
    ("cola", "test", "CoLA", "test.tsv", "index\tsentence\n0\tBill fell.\n", [("Bill fell.",)]),
    ("sst2", "validation", "SST-2", "dev.tsv", 'sentence\tlabel\na "b right \t1\n', [('a "b right ', 1)]),
    ("sst2", "test", "SST-2", "test.tsv", "index\tsentence\n0\tNA\n", [("NA",)]),
    (
        "mrpc",
        "train",
        "MRPC",
        "train.tsv",
        '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\t"He\t"She\r\n',
        [('"He', '"She', 1)],
    ),
    ("mrpc", "test", "MRPC", "test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\tA\tB\n", [("A", "B")]),
    (
        "stsb",
        "validation",
        "STS-B",
        "dev.tsv",
        f"{STSB_HEAD}\tscore\n0\tg\tf\ty\t1\ts\ts\tA\tB\t3.75\n",
        [("A", "B", 3.75)],
    ),
    ("stsb", "test", "STS-B", "test.tsv", f"{STSB_HEAD}\n0\tg\tf\ty\t1\ts\ts\tA\tB\n", [("A", "B")]),
    (
        "qqp",
        "train",
        "QQP",
        "train.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tA?\tB?\t1\n"
        "1\t3\t4\tcut\n off\t0\n2\t5\t6\tC?\tD?\t0\n",
        [("A?", "B?", 1), ("C?", "D?", 0)],
    ),
    ("qqp", "test", "QQP", "test.tsv", "id\tquestion1\tquestion2\n0\tA?\tB?\n", [("A?", "B?")]),
    (
        "mnli",
        "train",
        "MNLI",
        "train.tsv",
        f"{MNLI_HEAD}\tlabel1\tgold_label\n0\tp\tp\tg\tx\tx\tx\tx\tA\tB\tneutral\tcontradiction\n",
        [("A", "B", 2)],
    ),
    (
        "mnli",
        "validation_mismatched",
        "MNLI",
        "dev_mismatched.tsv",
        f"{MNLI_HEAD}\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n"
        "0\tp\tp\tg\tx\tx\tx\tx\tA\tB\tneutral\tneutral\tneutral\tneutral\tneutral\tneutral\n",
        [("A", "B", 1)],
    ),
    ("mnli", "test_matched", "MNLI", "test_matched.tsv", f"{MNLI_HEAD}\n0\tp\tp\tg\tx\tx\tx\tx\tA\tB\n", [("A", "B")]),
    (
        "qnli",
        "train",
        "QNLI",
        "train.tsv",
        "index\tquestion\tsentence\tlabel\n0\tA\tB\tnot_entailment\n",
        [("A", "B", 1)],
    ),
    (
        "rte",
        "train",
        "RTE",
        "train.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tA\u2028a\x0c\t\tentailment\n",
        [("A\u2028a\x0c", "", 0)],
    ),
    ("wnli", "validation", "WNLI", "dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\t1\n", [("A", "B", 1)]),
]


@pytest.mark.parametrize(("task", "split", "directory", "name", "content", "rows"), LAYOUTS)
def test_every_official_layout_is_read(tmp_path, task, split, directory, name, content, rows):
    columns = read_split(write(tmp_path, directory, name, content), TASKS[task], split)
    assert list(zip(*columns.values(), strict=True)) == rows
    labelled = TASKS[task].files[split].label is not None
    assert tuple(columns) == (*TASKS[task].text_columns, *(["label"] if labelled else []))


def test_the_layouts_cover_every_task():
    assert {task for task, *_ in LAYOUTS} == set(TASKS)


RTE_HEAD = "index\tsentence1\tsentence2\tlabel\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            RTE_HEAD + "0\tA\tB\tentailment\n1\tA\tentailment\n",
            r"4 tab-separated fields in .*train.tsv, line 3; found 3",
        ),
        (RTE_HEAD + "0\tA\tB\tC\tentailment\n", r"4 tab-separated fields in .*train.tsv, line 2; found 5"),
        (RTE_HEAD + "0\tA\tB\tmaybe\n", r"\(entailment, not_entailment\) in .*train.tsv, line 2; found 'maybe'"),
        ("index\tsentence1\tlabel\n0\tA\tentailment\n", r"a column 'sentence2' in .*train.tsv; found columns index, "),
        ("", r"rows in .*train.tsv; found an empty file"),
        (RTE_HEAD, r"rows in .*train.tsv; found none"),
    ],
)
def test_the_error_of_a_malformed_file_names_the_line(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_split(write(tmp_path, "RTE", "train.tsv", content), TASKS["rte"], "train")


@pytest.mark.parametrize("score", ["high", "nan", "inf", ""])
def test_a_score_must_be_a_finite_number(tmp_path, score):
    root = write(tmp_path, "STS-B", "train.tsv", f"{STSB_HEAD}\tscore\n0\tg\tf\ty\t1\ts\ts\tA\tB\t{score}\n")
    with pytest.raises(UserError, match=r"a label of stsb \(a number\) in .*line 2"):
        read_split(root, TASKS["stsb"], "train")


def test_short_rows_are_skipped_in_the_qqp_training_file_only(tmp_path):
    head = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    write(tmp_path, "QQP", "dev.tsv", head + "0\t1\t2\tcut\n")
    write(tmp_path, "QQP", "train.tsv", head + "0\t1\t2\tA\tB\t1\tmore\n")
    with pytest.raises(UserError, match=r"6 tab-separated fields .*found 4"):
        read_split(tmp_path, TASKS["qqp"], "validation")
    with pytest.raises(UserError, match=r"6 tab-separated fields .*found 7"):
        read_split(tmp_path, TASKS["qqp"], "train")


def test_the_error_of_a_missing_file_lists_the_existing_files(tmp_path):
    with pytest.raises(UserError, match=r"the directory .*RTE; found none\. Set data.root"):
        read_split(tmp_path, TASKS["rte"], "train")
    write(tmp_path, "RTE", "dev.tsv", RTE_HEAD)
    with pytest.raises(UserError, match=r"the file .*train.tsv; found only dev.tsv"):
        read_split(tmp_path, TASKS["rte"], "train")


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    write(tmp_path, "RTE", "train.tsv", RTE_HEAD)
    (tmp_path / "RTE" / "train.tsv").write_bytes(RTE_HEAD.encode() + b"0\tcaf\xe9\tB\tentailment\n")
    with pytest.raises(UserError, match=r"UTF-8 text in .*train.tsv; found an invalid byte at position 37"):
        read_split(tmp_path, TASKS["rte"], "train")


@pytest.mark.parametrize(
    ("task", "sizes"), [("rte", (2490, 277, 3000)), ("sst2", (67349, 872, 1821)), ("cola", (8551, 1043, 1063))]
)
def test_real_files_have_the_published_sizes(glue_root, task, sizes):
    info = TASKS[task]
    if not (glue_root / info.directory).is_dir():
        pytest.skip(f"no {info.directory} below ACL_LIGHTNING_GLUE")
    columns = [read_split(glue_root, info, split) for split in info.splits]
    assert tuple(len(split[info.text_columns[0]]) for split in columns) == sizes
    assert [set(split.get("label", [])) for split in columns] == [{0, 1}, {0, 1}, set()]
