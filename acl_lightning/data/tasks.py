"""Properties of a task, and the table of the nine GLUE tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from acl_lightning.errors import UserError

ONE_TEXT = ("sentence",)
TWO_TEXTS = ("sentence1", "sentence2")


@dataclass(frozen=True)
class SplitFile:
    """Layout of a file of the official TSV download.

    Attributes:
        name: File name inside the directory of the task.
        text: Names of the text columns in the file, in the order of `TaskInfo.text_columns`.
        label: Name of the label column in the file; None if the split is unlabelled.
        columns: Column names of a file without a header line; None if the first line is the header.
        skips_short_rows: Whether rows with too few fields are skipped instead of raising an error.
    """

    name: str
    text: tuple[str, ...]
    label: str | None = None
    columns: tuple[str, ...] | None = None
    skips_short_rows: bool = False


@dataclass(frozen=True)
class TaskInfo:
    """Properties of a task: of GLUE, known without reading a file, or of a table.

    Attributes:
        name: Key in `TASKS`, and name of the configuration of the hub data set; for a table, the name of its file.
        text_columns: Names of the text columns. For GLUE they are the same for every source: ("sentence",) or
            ("sentence1", "sentence2").
        label_names: Names of the classes in the order of the class indices; empty for regression.
        metrics: Names of metrics, the primary metric first.
        files: Split name -> layout of its file. Splits are named as on the hub: MNLI has `validation_matched`,
            `validation_mismatched`, `test_matched` and `test_mismatched`.
        hub_columns: Names of the text columns on the hub, in the same order; empty for a table.
        directory: Directory of the task in the official TSV download; empty for a table.
        file_labels: Strings of class 0, 1, … in the TSV files; empty for regression and for a table.
        hub_dataset: Id of the data set on the hub.
    """

    name: str
    text_columns: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    files: dict[str, SplitFile] = field(repr=False)
    hub_columns: tuple[str, ...] = ()
    directory: str = ""
    file_labels: tuple[str, ...] = ()
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
        """Names of the labelled evaluation splits: two for MNLI, one for the other tasks."""
        return tuple(split for split in self.files if split.startswith("validation"))

    def split(self, name: str) -> str:
        """Return the full name of a split; for MNLI, `validation` and `test` mean the matched splits.

        Raises:
            UserError: The task has no such split.
        """
        if name in self.files:
            return name
        if f"{name}_matched" in self.files:
            return f"{name}_matched"
        raise UserError(
            f"a split of {self.name}: {', '.join(self.splits)}", repr(name), "Set data.predict_split to one of them."
        )


def _files(*evaluation: str, label: str, text: tuple[str, ...]) -> dict[str, SplitFile]:
    """Return a training file, and a validation (dev) and an unlabelled test file per suffix, all with a header."""
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
        # A few questions of the official training file contain a line break, which makes two short rows. The copy on
        # the hub omits them, and so does this reader.
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
    """Return a task by its name in any common spelling: `sst2`, `SST-2`, `sst_2`, `RTE`.

    Raises:
        UserError: The name is not that of a GLUE task; the message lists all tasks.
    """
    info = TASKS.get(name.lower().replace("-", "").replace("_", ""))
    if info is None:
        raise UserError(f"a GLUE task: {', '.join(TASKS)}", repr(name), "Set data.task to one of them.")
    return info
