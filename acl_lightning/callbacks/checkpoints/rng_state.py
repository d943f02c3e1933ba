"""Callback that saves the state of random generators, so that a resumed run draws the same dropout masks."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class RNGState(Callback):
    """Saves the generators of torch (CPU and CUDA), Python and numpy, of every process.

    Together with the resumable loader, a run that was killed and resumed from its last checkpoint equals an
    uninterrupted run bit by bit on the CPU. With several processes each restores its own state. From a checkpoint of
    another number of processes, all restore the first state.

    The state is restored at the first training batch: building loaders and the sanity check draw random numbers before
    it.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every process as `ranks`; all processes must call this together."""
        state = _state()
        if not _is_distributed():
            return {"ranks": [state]}
        states: list[dict[str, Any]] = [{}] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(states, state)
        return {"ranks": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts."""
        self._restored = state_dict

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Restore once."""
        if self._restored is None:
            return
        states = self._restored.get("ranks", [self._restored])  # checkpoints of earlier versions hold a single state
        self._restored = None
        _restore(states[trainer.global_rank] if len(states) == trainer.world_size else states[0])


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _state() -> dict[str, Any]:
    """Return the states as tensors and plain values: `weights_only` loading refuses numpy arrays."""
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - libraries draw from the global one
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
    }
    if torch.cuda.is_available():
        # With several processes each uses one device; reading the state of another would start a context on it.
        state["cuda"] = [torch.cuda.get_rng_state()] if _is_distributed() else torch.cuda.get_rng_state_all()
    return state


def _restore(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    random.setstate(state["python"])
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    generators = [generator.cpu() for generator in state.get("cuda", [])]
    if not generators or not torch.cuda.is_available():
        return
    if _is_distributed() and len(generators) == 1:
        torch.cuda.set_rng_state(generators[0])
    elif len(generators) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(generators)
