"""The nine GLUE tasks as one static table: names, labels, metrics, splits, and where each column lives on disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from acl_lightning.errors import UserError

ONE_TEXT = ("sentence",)
TWO_TEXTS = ("sentence1", "sentence2")


@dataclass(frozen=True)
class SplitFile:
    """One file of the official TSV download.

    Attributes:
        name: file name inside the task's directory.
        text: the file's names of the text columns, in the order of `TaskInfo.text_columns`.
        label: the file's name of the label column; None when the split is unlabelled.
        columns: the column names of a file that has no header line; None when its first line is the header.
        skips_short_rows: drop rows that have too few fields instead of refusing the file.
    """

    name: str
    text: tuple[str, ...]
    label: str | None = None
    columns: tuple[str, ...] | None = None
    skips_short_rows: bool = False


@dataclass(frozen=True)
class TaskInfo:
    """Everything about a GLUE task that is known without reading a file.

    Attributes:
        name: key in `TASKS`, also the configuration name of the hub dataset.
        text_columns: canonical names, the same for every source: ("sentence",) or ("sentence1", "sentence2").
        hub_columns: the hub's names of the same columns.
        label_names: in the order of the hub's class indices; empty for regression.
        metrics: the official ones, primary first, among accuracy, f1, matthews, pearson, spearman.
        directory: directory of the official TSV download.
        file_labels: the strings that stand for class 0, 1, … in the TSV files; empty for regression.
        files: split name -> file. Splits are named as on the hub: MNLI has `validation_matched` and
            `validation_mismatched`, and two test splits likewise.
    """

    name: str
    text_columns: tuple[str, ...]
    hub_columns: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    directory: str
    file_labels: tuple[str, ...]
    files: dict[str, SplitFile] = field(repr=False)
    hub_dataset: str = "nyu-mll/glue"

    @property
    def num_labels(self) -> int:
        """Width C of the classifier: number of classes, or 1 for regression."""
        return len(self.label_names) or 1

    @property
    def is_regression(self) -> bool:
        """Whether the label is a score (STS-B, 0 to 5) instead of a class."""
        return not self.label_names

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits, train first."""
        return tuple(self.files)

    @property
    def validation_splits(self) -> tuple[str, ...]:
        """Names of the labelled evaluation splits: two for MNLI, one for the others."""
        return tuple(split for split in self.files if split.startswith("validation"))

    def split(self, name: str) -> str:
        """Resolve a split name; `validation` and `test` stand for MNLI's matched half.

        Raises:
            UserError: the task has no such split.
        """
        if name in self.files:
            return name
        if name in {"validation", "test"}:
            return f"{name}_matched"
        raise UserError(f"a split of {self.name}: {', '.join(self.splits)}", repr(name), "Choose one of them.")


def _files(*evaluation: str, label: str, text: tuple[str, ...]) -> dict[str, SplitFile]:
    """Train, one validation (dev) and one test file per suffix in `evaluation`, all with a header; test unlabelled."""
    files = {"train": SplitFile("train.tsv", text, label)}
    files |= {f"validation{suffix}": SplitFile(f"dev{suffix}.tsv", text, label) for suffix in evaluation}
    files |= {f"test{suffix}": SplitFile(f"test{suffix}.tsv", text) for suffix in evaluation}
    return files


_COLA_COLUMNS = ("source", "label", "star", "sentence")
_QQP_TEXT = ("question1", "question2")

_TABLE = (
    TaskInfo(
        name="cola",
        text_columns=ONE_TEXT,
        hub_columns=("sentence",),
        label_names=("unacceptable", "acceptable"),
        metrics=("matthews",),
        directory="CoLA",
        file_labels=("0", "1"),
        files={
            "train": SplitFile("train.tsv", ("sentence",), "label", columns=_COLA_COLUMNS),
            "validation": SplitFile("dev.tsv", ("sentence",), "label", columns=_COLA_COLUMNS),
            "test": SplitFile("test.tsv", ("sentence",)),
        },
    ),
    TaskInfo(
        name="sst2",
        text_columns=ONE_TEXT,
        hub_columns=("sentence",),
        label_names=("negative", "positive"),
        metrics=("accuracy",),
        directory="SST-2",
        file_labels=("0", "1"),
        files=_files("", label="label", text=("sentence",)),
    ),
    TaskInfo(
        name="mrpc",
        text_columns=TWO_TEXTS,
        hub_columns=("sentence1", "sentence2"),
        label_names=("not_equivalent", "equivalent"),
        metrics=("f1", "accuracy"),
        directory="MRPC",
        file_labels=("0", "1"),
        files=_files("", label="Quality", text=("#1 String", "#2 String")),
    ),
    TaskInfo(
        name="stsb",
        text_columns=TWO_TEXTS,
        hub_columns=("sentence1", "sentence2"),
        label_names=(),
        metrics=("pearson", "spearman"),
        directory="STS-B",
        file_labels=(),
        files=_files("", label="score", text=("sentence1", "sentence2")),
    ),
    TaskInfo(
        name="qqp",
        text_columns=TWO_TEXTS,
        hub_columns=_QQP_TEXT,
        label_names=("not_duplicate", "duplicate"),
        metrics=("f1", "accuracy"),
        directory="QQP",
        file_labels=("0", "1"),
        # The official training file has a few questions with a line break inside: each leaves two short rows. The hub's
        # copy leaves them out, so we do.
        files=_files("", label="is_duplicate", text=_QQP_TEXT)
        | {"train": SplitFile("train.tsv", _QQP_TEXT, "is_duplicate", skips_short_rows=True)},
    ),
    TaskInfo(
        name="mnli",
        text_columns=TWO_TEXTS,
        hub_columns=("premise", "hypothesis"),
        label_names=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        directory="MNLI",
        file_labels=("entailment", "neutral", "contradiction"),
        files=_files("_matched", "_mismatched", label="gold_label", text=("sentence1", "sentence2")),
    ),
    TaskInfo(
        name="qnli",
        text_columns=TWO_TEXTS,
        hub_columns=("question", "sentence"),
        label_names=("entailment", "not_entailment"),
        metrics=("accuracy",),
        directory="QNLI",
        file_labels=("entailment", "not_entailment"),
        files=_files("", label="label", text=("question", "sentence")),
    ),
    TaskInfo(
        name="rte",
        text_columns=TWO_TEXTS,
        hub_columns=("sentence1", "sentence2"),
        label_names=("entailment", "not_entailment"),
        metrics=("accuracy",),
        directory="RTE",
        file_labels=("entailment", "not_entailment"),
        files=_files("", label="label", text=("sentence1", "sentence2")),
    ),
    TaskInfo(
        name="wnli",
        text_columns=TWO_TEXTS,
        hub_columns=("sentence1", "sentence2"),
        label_names=("not_entailment", "entailment"),
        metrics=("accuracy",),
        directory="WNLI",
        file_labels=("0", "1"),
        files=_files("", label="label", text=("sentence1", "sentence2")),
    ),
)

#: The nine tasks by name.
TASKS: dict[str, TaskInfo] = {info.name: info for info in _TABLE}


def task_info(name: str) -> TaskInfo:
    """Look a task up by its name in any common spelling: `sst2`, `SST-2`, `sst_2`, `RTE`.

    Raises:
        UserError: not a GLUE task; the message lists the nine.
    """
    info = TASKS.get(name.lower().replace("-", "").replace("_", ""))
    if info is None:
        raise UserError(f"a GLUE task: {', '.join(TASKS)}", repr(name), "Choose one of them as --data.task.")
    return info
