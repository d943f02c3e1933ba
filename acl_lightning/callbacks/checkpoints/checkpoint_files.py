"""Checkpoint files: atomic writing, and their paths after a run directory was moved."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically
from acl_lightning.runs.checkpoints import run_of
from acl_lightning.runs.names import CHECKPOINTS


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name and renames it.

    A process that is killed while it saves leaves the previous file. Lightning's class copies from the temporary
    directory, which may be on another file system.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`."""
        assert storage_options is None
        with replaced_atomically(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


class CheckpointPaths(Callback):
    """Adapts the state of every `ModelCheckpoint` when a run continues in another directory.

    ModelCheckpoint stores absolute paths and drops the best score when they changed: the next checkpoint would replace
    `best.ckpt` even if it is worse. This callback rewrites the paths. A checkpoint that is not in the run directory
    (because the run continues in a new one) is copied from the folder of the loaded checkpoint.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Rewrite the paths in `checkpoint` before the callbacks load their state from it.

        Raises:
            UserError: A checkpoint file does not exist although its score is known.
        """
        if trainer.state.fn != TrainerFn.FITTING or not trainer.ckpt_path:
            return
        source = run_of(trainer.ckpt_path) / CHECKPOINTS
        for callback in trainer.checkpoint_callbacks:
            state = checkpoint.get("callbacks", {}).get(callback.state_key)
            if isinstance(callback, ModelCheckpoint) and state and state.get("dirpath"):
                _rewrite(state, Path(str(callback.dirpath)))
                for path in map(Path, state["best_k_models"]):
                    if not path.is_file() and trainer.is_global_zero:
                        _copy(source / path.name, path)


def _rewrite(state: dict[str, Any], directory: Path) -> None:
    """Replace the directory in all paths of a ModelCheckpoint's state."""
    old = Path(state["dirpath"])

    def moved(path: str) -> str:
        return str(directory / Path(path).relative_to(old)) if path and Path(path).is_relative_to(old) else path

    state["dirpath"] = str(directory)
    for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
        state[name] = moved(state.get(name, ""))
    state["best_k_models"] = {moved(path): score for path, score in state.get("best_k_models", {}).items()}


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise UserError(
            f"the best checkpoint so far at {target}",
            "no such file",
            "Move a run directory as a whole, or start anew in another --run_dir.",
        )
    with replaced_atomically(target) as temporary:
        shutil.copyfile(source, temporary)
