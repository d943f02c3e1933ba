"""What one validation pass said, kept in a file: every curve can be drawn again from it, without the model."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.evaluation.costs import ExitCosts
from acl_lightning.exits.evaluation.sweep import exit_index
from acl_lightning.files import replaced_atomically

#: Name of the file in a run directory.
FILE_NAME = "exit_logits.npz"

#: Columns that every record has; `gates_EB` and `difficulty_B` are there where the model and the data know them.
_REQUIRED = ("logits_EBC", "labels_B", "index_B", "selection_B", "num_tokens_B")
_OPTIONAL = ("gates_EB", "difficulty_B")


@dataclass(frozen=True)
class ExitRecord:
    """Exit logits of a labelled validation set, and what leaving costs. Here B is the number of samples.

    Attributes:
        logits_EBC: float32.
        labels_B: classes, or values for a regression.
        index_B: row number in the split.
        selection_B: bool, True for the half that chooses thresholds, False for the half that is reported.
        num_tokens_B: length of each sample.
        costs: layers and FLOPs of leaving at each exit, for a sample of the mean length.
        gates_EB: the learnt gate's logits; None without one.
        difficulty_B: grade of each sample; None where it is not known.
    """

    logits_EBC: Tensor
    labels_B: Tensor
    index_B: Tensor
    selection_B: Tensor
    num_tokens_B: Tensor
    costs: ExitCosts
    gates_EB: Tensor | None = None
    difficulty_B: Tensor | None = None

    @property
    def is_regression(self) -> bool:
        """Whether the exits give a value instead of a class."""
        return self.logits_EBC.shape[-1] == 1

    def half(self, selection: bool) -> ExitRecord:
        """The samples of the selection half, or of the report half."""
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
        )

    def leaving(self, criterion: Criterion, threshold: float) -> Tensor:
        """Index (B,) of the exit at which each sample leaves."""
        certainty_EB = criterion.certainty(criterion.evidence(self.logits_EBC, self.gates_EB))
        return exit_index(certainty_EB, torch.tensor([threshold], dtype=torch.float64))[0]

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
        with replaced_atomically(Path(path)) as temporary:
            np.savez_compressed(temporary, allow_pickle=False, **arrays, **costs)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ExitRecord:
        """Read what `save` wrote, in this version or an earlier one (without FLOPs of static exits).

        Raises:
            UserError: there is no such file, or it is no record of exit logits.
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
            return cls(**columns, costs=costs)
        except FileNotFoundError:
            raise UserError(f"stored exit logits at {path}", "no such file", remedy) from None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise UserError(f"stored exit logits at {path}", f"a damaged file ({error})", remedy) from error
