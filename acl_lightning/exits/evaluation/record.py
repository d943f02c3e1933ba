"""Exit logits of a labelled validation set, and the costs of its exits: the input of every evaluation."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion, exit_index
from acl_lightning.files import replaced_atomically

#: Name of the file in a run directory.
FILE_NAME = "exit_logits.npz"

#: Columns that every record has, and columns that depend on the model and the data.
_REQUIRED = ("logits_EBC", "labels_B", "index_B", "selection_B", "num_tokens_B")
_OPTIONAL = ("gates_EB", "difficulty_B", "cosines_EBC")


@dataclass(frozen=True)
class ExitCosts:
    """Layers and FLOPs of a sample that leaves at each exit.

    Attributes:
        layers_E: Layer of each exit, counted from 1, ascending.
        depth: Number of layers of the backbone.
        flops_E: FLOPs of a sample that leaves at each exit by a criterion, with every exit before it evaluated too.
        full_flops: FLOPs of the plain full-depth model with its single head.
        static_flops_E: FLOPs of a sample that leaves at each exit as a static exit, with no other exit evaluated.
            None: unknown (records of earlier versions); then static exits have the costs `flops_E`.

    Raises:
        UserError: No exits, layers that do not ascend within 1 ... depth, or another number of FLOPs than of exits.
    """

    layers_E: tuple[int, ...]
    depth: int
    flops_E: tuple[float, ...]
    full_flops: float
    static_flops_E: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        ascending = all(low < high for low, high in zip((0, *self.layers_E), self.layers_E, strict=False))
        if not self.layers_E or not ascending or self.layers_E[-1] > self.depth:
            raise UserError(
                f"exit layers that ascend within 1 ... {self.depth}", f"{self.layers_E}", "Count layers from 1."
            )
        for flops_E in (self.flops_E, self.flops_by(static=True)):
            if len(flops_E) != len(self.layers_E):
                raise UserError(
                    f"FLOPs of {len(self.layers_E)} exits", f"{len(flops_E)} values", "Give one value per exit."
                )

    def mean_layer(self, shares_E: tuple[float, ...]) -> float:
        """Return the mean exit layer when `shares_E` of the samples leave at each exit."""
        return sum(share * layer for share, layer in zip(shares_E, self.layers_E, strict=True))

    def flops_by(self, *, static: bool) -> tuple[float, ...]:
        """Return the FLOPs of leaving at each exit, by a criterion or as a static exit."""
        return self.static_flops_E if static and self.static_flops_E is not None else self.flops_E

    def mean_flops(self, shares_E: tuple[float, ...], *, static: bool = False) -> float:
        """Return the mean FLOPs per sample when `shares_E` of the samples leave at each exit.

        Args:
            shares_E: Share of the samples that leave at each exit.
            static: Whether they leave at a static exit, so that no other exit is evaluated.
        """
        return sum(share * flops for share, flops in zip(shares_E, self.flops_by(static=static), strict=True))


@dataclass(frozen=True)
class ExitRecord:
    """Exit logits of a labelled validation set, and the costs of leaving at each exit. B is the number of samples.

    Attributes:
        logits_EBC: Exit logits, float32.
        labels_B: Classes, or values for a regression.
        index_B: Row number of each sample in its data split.
        selection_B: Bool; True for the selection split, which selects thresholds, False for the report split.
        num_tokens_B: Number of tokens of each sample.
        costs: Layers and FLOPs of leaving at each exit, for a sample of the mean length.
        gates_EB: Logits of the learnt gate; None for a model without a gate.
        difficulty_B: Difficulty grade of each sample; None where it is unknown.
        selection_from: Split that the selection split is taken from: `validation`, or `train` for training rows that
            were not trained on; then the report split is the whole validation split.
        cosines_EBC: Cosines of the samples with the label embeddings, float32; None where no swept criterion reads
            them, and in records of earlier versions.
    """

    logits_EBC: Tensor
    labels_B: Tensor
    index_B: Tensor
    selection_B: Tensor
    num_tokens_B: Tensor
    costs: ExitCosts
    gates_EB: Tensor | None = None
    difficulty_B: Tensor | None = None
    selection_from: str = "validation"
    cosines_EBC: Tensor | None = None

    @property
    def is_regression(self) -> bool:
        """Whether the exits give a value instead of a class."""
        return self.logits_EBC.shape[-1] == 1

    def split(self, *, selection: bool) -> ExitRecord:
        """Return the samples of the selection split or of the report split."""
        members_B = self.selection_B == selection
        return ExitRecord(
            self.logits_EBC[:, members_B],
            self.labels_B[members_B],
            self.index_B[members_B],
            self.selection_B[members_B],
            self.num_tokens_B[members_B],
            self.costs,
            None if self.gates_EB is None else self.gates_EB[:, members_B],
            None if self.difficulty_B is None else self.difficulty_B[members_B],
            self.selection_from,
            None if self.cosines_EBC is None else self.cosines_EBC[:, members_B],
        )

    def certainty(self, criterion: Criterion) -> Tensor:
        """Return the certainty (E, B) of every exit for every sample.

        Raises:
            UserError: The criterion cannot read the record.
        """
        return criterion.certainty(criterion.inputs(self.logits_EBC, self.gates_EB, self.cosines_EBC))

    def leaving(self, criterion: Criterion, threshold: float) -> Tensor:
        """Return the index (B,) of the exit at which each sample leaves."""
        return exit_index(self.certainty(criterion), torch.tensor([threshold], dtype=torch.float64))[0]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a compressed `.npz` (plain arrays, nothing pickled), atomically. Equal records give equal bytes."""
        columns = {name: getattr(self, name) for name in (*_REQUIRED, *_OPTIONAL)}
        arrays = {name: values.numpy(force=True) for name, values in columns.items() if values is not None}
        costs = {
            "layers_E": np.array(self.costs.layers_E),
            "depth": np.array(self.costs.depth),
            "flops_E": np.array(self.costs.flops_E),
            "full_flops": np.array(self.costs.full_flops),
        }
        if self.costs.static_flops_E is not None:
            costs["static_flops_E"] = np.array(self.costs.static_flops_E)
        if self.selection_from != "validation":
            costs["selection_from"] = np.array(self.selection_from)
        with replaced_atomically(Path(path)) as temporary:
            np.savez_compressed(temporary, allow_pickle=False, **arrays, **costs)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ExitRecord:
        """Read what `save` wrote, in this version or an earlier one (without FLOPs of static exits, without cosines).

        Raises:
            UserError: There is no such file, or it is not a record of exit logits.
        """
        remedy = (
            "Validate the run again with this version: `validate --config RUN/config.yaml "
            f"--ckpt_path RUN/checkpoints/best.ckpt --run_dir NEW`, and copy NEW/{FILE_NAME} into RUN."
        )
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            columns = {name: torch.from_numpy(arrays[name]) for name in (*_REQUIRED, *_OPTIONAL) if name in arrays}
            costs = ExitCosts(
                layers_E=tuple(arrays["layers_E"].tolist()),
                depth=int(arrays["depth"]),
                flops_E=tuple(arrays["flops_E"].tolist()),
                full_flops=float(arrays["full_flops"]),
                static_flops_E=tuple(arrays["static_flops_E"].tolist()) if "static_flops_E" in arrays else None,
            )
            source = str(arrays["selection_from"]) if "selection_from" in arrays else "validation"
            return cls(**columns, costs=costs, selection_from=source)
        except FileNotFoundError:
            raise UserError(f"stored exit logits at {path}", "no such file", remedy) from None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise UserError(f"stored exit logits at {path}", f"a damaged file ({error})", remedy) from error
