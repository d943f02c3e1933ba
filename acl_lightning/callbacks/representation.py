"""Measures and map of the representation at every exit, after a validation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from acl_lightning.callbacks.embedding_arrays import drawn, embedding_arrays, embedding_map, measure_rows
from acl_lightning.callbacks.logger_media import show_table
from acl_lightning.callbacks.run_figures import write_figure
from acl_lightning.errors import UserError
from acl_lightning.representation import measure_exits
from acl_lightning.runs.names import EMBEDDING_FIGURE
from acl_lightning.runs.records import write_representation
from acl_lightning.training.sample_columns import Columns, gathered, joined
from acl_lightning.training.trainer_attributes import selection_source

#: Columns that a validation step must return.
NEEDED = ("embeddings_EBD", "labels", "index")


class RepresentationDiagnostics(Callback):
    """Measures the embeddings of every exit on the first validation split, selection and report split.

    If the selection split is taken from the training rows, it is not measured.

    Runs in `validate` only (the command line validates the best checkpoint after `fit`), not in the validations during
    training. Rank zero writes into the run directory:

    - `representation.csv`: a row per exit with `exit_layer`, `samples` and the `MEASURES` of
      `acl_lightning.representation`; a measure that is not defined is empty, such as those of classes for regression;
    - `embeddings.npz`: `vectors_KnD` (unit vectors at the K kept exits, float16), `layers_K`, `labels_n`, `index_n`
      (row in the split), `label_vectors_KCD`, `label_names_C` and `task`; loads without pickle;
    - `embeddings.png`: a map of the kept exits.

    Loggers get the measures as `representation/exit_LAYER/MEASURE`, and loggers with media the table and the map.

    Args:
        layers: Layers of the exits to keep and draw. Default: the deepest exit only.
        max_rows: Largest number of samples to measure, drawn at random; the time grows with its square.
        map_rows: Largest number of these samples in the map, drawn at random.
        seed: Seed of both random draws. The samples do not depend on the run, so that maps of several runs show the
            same samples.

    Raises:
        UserError: `max_rows` or `map_rows` is less than 2, or a layer has no exit.

    Attributes:
        measures: Exit layer -> measure -> value; empty before a validation and on ranks other than zero.
    """

    def __init__(
        self, layers: list[int] | None = None, max_rows: int = 2000, map_rows: int = 600, seed: int = 0
    ) -> None:
        if min(max_rows, map_rows) < 2:
            raise UserError("max_rows and map_rows >= 2", f"{max_rows} and {map_rows}", "Set both to 2 or more.")
        self.layers = layers
        self.max_rows = max_rows
        self.map_rows = map_rows
        self.seed = seed
        self.measures: dict[int, dict[str, float]] = {}
        self._selected: Tensor | None = None
        self._batches: list[Columns] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse layers without an exit, before the training."""
        exits: Any = pl_module.exit_layers
        strange = sorted(set(self.layers or ()) - set(exits))
        if strange or self.layers == []:
            raise UserError(
                f"layers with an exit ({', '.join(map(str, exits))})",
                f"{self.layers}",
                "Set layers of RepresentationDiagnostics to some of them.",
            )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clear the embeddings of an earlier validation."""
        self._batches, self._selected = [], None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the embeddings of the selected samples."""
        if trainer.state.fn != TrainerFn.VALIDATING or dataloader_idx != 0:
            return
        columns = outputs if isinstance(outputs, Mapping) else {}
        missing = [name for name in NEEDED if name not in columns]
        if missing:
            raise UserError(
                "embeddings of labelled validation data for the representation",
                f"no {', '.join(missing)}",
                "Validate on a labelled split, or remove the callback RepresentationDiagnostics.",
            )
        if self._selected is None:
            self._selected = drawn(_rows_of_first_set(trainer), self.max_rows, self.seed)
        index_B = columns["index"].cpu()
        here = self._selected[index_B % len(self._selected)]
        if selection_source(trainer) == "train":
            here &= ~columns["selection"].cpu()
        embeddings_EBD = columns["embeddings_EBD"].detach()
        kept = here.to(embeddings_EBD.device)
        self._batches.append(
            {
                "embeddings_EBD": embeddings_EBD[:, kept].float().cpu(),
                "labels": columns["labels"].cpu()[here],
                "index": index_B[here],
            }
        )

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the embeddings, write the files, and log."""
        if trainer.state.fn != TrainerFn.VALIDATING or not self._batches:
            return
        columns = gathered(joined(self._batches), trainer.world_size)
        self._batches = []
        if not trainer.is_global_zero:
            return
        module: Any = pl_module
        names = list(module.label_names)
        label_embeddings_ECD = module.encoder.label_embeddings_ECD().detach().float().cpu()
        measures = measure_exits(columns["embeddings_EBD"], columns["labels"] if names else None, label_embeddings_ECD)
        self.measures = dict(zip(module.exit_layers, measures, strict=True))
        pl_module.log_dict(
            {
                f"representation/exit_{layer}/{name}": value
                for layer, values in self.measures.items()
                for name, value in values.items()
                if math.isfinite(value)
            },
            rank_zero_only=True,
        )
        kept = embedding_arrays(
            columns, self.layers or [module.exit_layers[-1]], module.exit_layers, label_embeddings_ECD, names
        )
        title = f"{module.task_name}, validation"
        self._publish(trainer, {**kept, "task": np.array(module.task_name)}, title)

    def _publish(self, trainer: Trainer, kept: Mapping[str, Any], title: str) -> None:
        header, rows = measure_rows(self.measures, samples=len(kept["labels_n"]))
        drawn_n = drawn(len(kept["labels_n"]), self.map_rows, self.seed).numpy()
        write_representation(Path(trainer.default_root_dir), header, rows, kept)
        for logger in trainer.loggers:
            show_table(logger, "representation", header, rows)
        draw = partial(embedding_map, kept, drawn_n, self.measures, title)
        write_figure(trainer, "embeddings", EMBEDDING_FIGURE, draw)


def _rows_of_first_set(trainer: Trainer) -> int:
    loaders: Any = trainer.val_dataloaders
    first = loaders[0] if isinstance(loaders, list | tuple) else loaders
    if selection_source(trainer) == "train":
        return int((~first.dataset.columns["selection"]).sum())
    return len(first.dataset)
