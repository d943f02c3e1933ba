"""`result.json`: what a run is worth and where it comes from."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.callbacks.provenance import device_name, git_state, versions
from acl_lightning.errors import UserError
from acl_lightning.files import write_text_atomically
from acl_lightning.runs.result import finite

FILE_NAME = "result.json"

_log = logging.getLogger(__name__)


class ResultWriter(Callback):
    """Writes `result.json` into the run directory: at the end of `validate`, and when a command fails or is stopped.

    One JSON object: `status` ("finished", "failed" or "interrupted"), `error` (one line, or null), `task`, `metrics`
    (`trainer.callback_metrics`), what `ExitSweep` found (`per_exit`, `full_depth`, `recommended`, ... of `summarise`),
    `checkpoint`, `config_hash`, `config_files`, `seed`, `precision`, `world_size`, `device`, `versions`, `git`,
    `started`, `finished` (ISO 8601, UTC), `fit_seconds`, `validate_seconds` (null where this process did not do it).
    Numbers that are not finite become null, so every JSON reader takes the file. Rank zero writes, atomically.

    A finished result is only ever replaced by a finished one: a mistake in a later `validate` does not destroy it. A
    `validate` that measures a finished run anew keeps the earlier file as `result-before-validating.json`, and takes
    over what it cannot know itself: `fit_seconds` and `config_hash`. A command that is refused before its first step
    writes nothing beside the configuration of an earlier one.

    Attributes:
        config_hash: identity of the run's whole configuration, set by the command line.
        config_files: names of the configuration files that were given, in order, set by the command line.
    """

    config_hash: str | None = None
    config_files: Sequence[str] = ()

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._clock: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._accepted = False  # whether a first step began

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the fit."""
        self._started = datetime.now(UTC)
        self._clock["fit"] = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rename the result of the run that is now resumed: it is about other weights."""
        self._accepted = True
        if trainer.is_global_zero and self._path(trainer).exists():
            self._path(trainer).replace(self._path(trainer).with_name("result-before-resuming.json"))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of the fit. Where nothing is ever validated, this is the result."""
        self._stop("fit")
        if trainer.limit_val_batches == 0:
            self._write(trainer, pl_module, status="finished", error=None)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of `validate`; validations during the fit belong to the fit."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._accepted = True
            self._clock["validate"] = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the finished result."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._stop("validate")
            self._write(trainer, pl_module, status="finished", error=None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write the failed or interrupted result; failing at that must not hide the exception itself.

        SIGTERM arrives as `SystemExit`.
        """
        path = self._path(trainer)
        if _is_finished(path) or (not self._accepted and path.with_name("config.yaml").exists()):
            return
        status = "interrupted" if isinstance(exception, KeyboardInterrupt | SystemExit) else "failed"
        first_line = next(iter(str(exception).splitlines()), "")
        try:
            self._write(trainer, pl_module, status=status, error=f"{type(exception).__name__}: {first_line}")
        except UserError as error:
            _log.warning("%s was not written: %s", FILE_NAME, error)

    def _stop(self, phase: str) -> None:
        if phase in self._clock:
            self._seconds[phase] = time.monotonic() - self._clock.pop(phase)

    def _path(self, trainer: Trainer) -> Path:
        return Path(trainer.default_root_dir) / FILE_NAME

    def _write(self, trainer: Trainer, pl_module: LightningModule, *, status: str, error: str | None) -> None:
        if not trainer.is_global_zero:
            return
        sweep = next((one for one in trainer.callbacks if isinstance(one, ExitSweep)), None)  # type: ignore[attr-defined]
        result = {
            "status": status,
            "error": error,
            "task": getattr(pl_module, "task_name", None),
            "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
            **(sweep.summary if sweep else {}),
            "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
            **self._provenance(trainer),
        }
        if status == "finished" and "fit" not in self._seconds and _is_finished(self._path(trainer)):
            earlier = self._path(trainer).read_text(encoding="utf-8")
            write_text_atomically(self._path(trainer).with_name("result-before-validating.json"), earlier)
            result |= {key: json.loads(earlier).get(key) for key in ("fit_seconds", "config_hash")}
        text = json.dumps(finite(result), indent=2, allow_nan=False, ensure_ascii=False)
        write_text_atomically(self._path(trainer), text + "\n")

    def _provenance(self, trainer: Trainer) -> dict[str, Any]:
        seed = os.environ.get("PL_GLOBAL_SEED")
        return {
            "config_hash": self.config_hash,
            "config_files": list(self.config_files),
            "seed": int(seed) if seed is not None else None,
            "precision": str(trainer.precision),
            "world_size": trainer.world_size,
            "device": device_name(trainer.strategy.root_device),
            "versions": versions(),
            "git": git_state(),
            "started": self._started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "fit_seconds": self._seconds.get("fit"),
            "validate_seconds": self._seconds.get("validate"),
        }


def _is_finished(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("status") == "finished"
