"""Random state in checkpoints, so that a resumed run continues the same sequence of dropout masks."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class RNGState(Callback):
    """Saves the generators of torch (CPU and, where present, all CUDA devices), Python and numpy.

    Together with the resumable loader a run that was killed and resumed from its last checkpoint is bit-identical, on
    the CPU, to one that was not. The state is restored at the first training batch: what happens before it (building
    loaders, a sanity check) draws numbers of its own.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The generators' states, as tensors and plain lists (`weights_only` loading refuses numpy arrays)."""
        name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - libraries draw from the global one
        state: dict[str, Any] = {
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        }
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts."""
        self._restored = state_dict

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Restore once."""
        if self._restored is None:
            return
        state, self._restored = self._restored, None
        torch.set_rng_state(state["torch"].cpu())
        random.setstate(state["python"])
        name, keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
        if "cuda" in state and torch.cuda.device_count() == len(state["cuda"]):
            torch.cuda.set_rng_state_all([generator.cpu() for generator in state["cuda"]])
