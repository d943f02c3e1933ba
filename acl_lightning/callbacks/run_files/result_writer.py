"""Callback that writes `result.json`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically
from acl_lightning.runs.names import CONFIG, RESULT, RESULT_BEFORE_RESUMING, RESULT_BEFORE_VALIDATING
from acl_lightning.runs.provenance import Provenance, device_name, git_state, versions
from acl_lightning.runs.records import RunResult, read_result, run_status, write_result
from acl_lightning.training.trainer_attributes import datamodule_of, find_callback

_log = logging.getLogger(__name__)


class ResultWriter(Callback):
    """Writes the `RunResult` of a run: at the end of `validate`, and when a command fails or is stopped.

    Rank zero writes `result.json`, atomically. Numbers that are not finite become null.

    A finished result is only replaced by a finished result, and so is a damaged file: a mistake in a later `validate`
    does not destroy it. A `validate` that measures a run again keeps the earlier file as
    `result-before-validating.json` and takes over `fit_seconds`, `config_hash` and `config_files` from it. A command
    that is refused before its first step writes nothing into the directory of an earlier command.

    Attributes:
        config_hash: Hash of the resolved configuration, set by the command line.
        config_files: Names of the configuration files on the command line, in order, set by the command line.
    """

    config_hash: str | None = None
    config_files: Sequence[str] = ()

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._clock: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._began = False  # whether the first step began

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the training."""
        self._started = datetime.now(UTC)
        self._clock["fit"] = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rename the result of a run that is resumed: it is about other weights."""
        self._began = True
        directory = _directory(trainer)
        if trainer.is_global_zero and (directory / RESULT).exists():
            (directory / RESULT).replace(directory / RESULT_BEFORE_RESUMING)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of the training. Write the result if the run is never validated."""
        self._stop("fit")
        if trainer.limit_val_batches == 0:
            self._write(trainer, pl_module, status="finished", error=None)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of `validate`; validations during the training count as training."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._began = True
            self._clock["validate"] = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the finished result."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._stop("validate")
            self._write(trainer, pl_module, status="finished", error=None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write the failed or interrupted result. A full disk must not hide the exception itself.

        SIGTERM arrives as `SystemExit`.
        """
        directory = _directory(trainer)
        refused = not self._began and (directory / CONFIG).exists()
        if refused or run_status(directory) in {"finished", "damaged"}:
            return
        status = "interrupted" if isinstance(exception, KeyboardInterrupt | SystemExit) else "failed"
        first_line = next(iter(str(exception).splitlines()), "")
        try:
            self._write(trainer, pl_module, status=status, error=f"{type(exception).__name__}: {first_line}")
        except UserError as error:
            _log.warning("%s was not written: %s", RESULT, error)

    def _stop(self, phase: str) -> None:
        if phase in self._clock:
            self._seconds[phase] = time.monotonic() - self._clock.pop(phase)

    def _write(self, trainer: Trainer, pl_module: LightningModule, *, status: str, error: str | None) -> None:
        if not trainer.is_global_zero:
            return
        sweep = find_callback(trainer, ExitSweep)
        result = RunResult(
            status=status,
            error=error,
            task=getattr(pl_module, "task_name", None),
            metrics={name: value.item() for name, value in trainer.callback_metrics.items()},
            report=sweep.report.to_json() if sweep and sweep.report else {},
            data=_describe(trainer),
            checkpoint=str(trainer.ckpt_path) if trainer.ckpt_path else None,
            provenance=self._provenance(trainer),
        )
        directory = _directory(trainer)
        if status == "finished" and "fit" not in self._seconds:
            result = _after_training(directory, result)
        write_result(directory, result)

    def _provenance(self, trainer: Trainer) -> Provenance:
        seed = os.environ.get("PL_GLOBAL_SEED")
        return Provenance(
            config_hash=self.config_hash,
            config_files=tuple(self.config_files),
            seed=int(seed) if seed is not None else None,
            precision=str(trainer.precision),
            world_size=trainer.world_size,
            device=device_name(trainer.strategy.root_device),
            versions=versions(),
            git=git_state(),
            started=self._started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            fit_seconds=self._seconds.get("fit"),
            validate_seconds=self._seconds.get("validate"),
        )


def _after_training(directory: Path, result: RunResult) -> RunResult:
    """Keep an earlier finished or damaged result under another name, and take over its entries about the training."""
    status = run_status(directory)
    if status not in {"finished", "damaged"}:
        return result
    try:
        earlier = read_result(directory).provenance
    except UserError:
        earlier = None
    kept = (directory / RESULT).read_bytes()
    with replaced_atomically(directory / RESULT_BEFORE_VALIDATING) as temporary:
        temporary.write_bytes(kept)
    if earlier is None:
        return result
    origin = replace(
        result.provenance,
        fit_seconds=earlier.fit_seconds,
        config_hash=earlier.config_hash,
        config_files=earlier.config_files,
    )
    return replace(result, provenance=origin)


def _describe(trainer: Trainer) -> Mapping[str, object]:
    """Return how the DataModule selected and changed the rows; empty if it does not tell."""
    data = datamodule_of(trainer)
    return data.describe() if hasattr(data, "describe") else {}


def _directory(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir)
