"""Trial: a combination of parameters with its run directory, and its state."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import acl_lightning
from acl_lightning.errors import UserError
from acl_lightning.files import write_text_atomically
from acl_lightning.runs.names import LOCK, RESULT
from acl_lightning.runs.records import RunResult, read_result, run_status
from acl_lightning.studies.trials.command import expand, named_configurations, split_configurations
from acl_lightning.studies.trials.locks import TRIAL_LOCK, is_held
from acl_lightning.studies.trials.values import JsonValue, Parameters

#: Files in the directory of a trial, beside those of `fit`: description, output, parameters in JSON, last failure.
TRIAL = "trial.json"
TRIAL_LOG = "trial.log"
PARAMETERS = "parameters.json"
FAILURE = "failure.json"


class TrialState(StrEnum):
    """State of a trial.

    Attributes:
        WAITING: It has not run yet, or was interrupted.
        RUNNING: A process holds its lock.
        FINISHED: It has a complete result of the present version of this package.
        FAILED: Its last attempt failed.
        STALE: It has a complete result of another version of this package.
    """

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STALE = "stale"


@dataclass(frozen=True)
class Trial:
    """Combination of parameters of a sweep.

    Attributes:
        id: Identity, see `trial_id`.
        number: Position in the sweep, counted from 0.
        parameters: Setting -> value.
        directory: Run directory.
        command: Items of the sweep's command, with macros.
        program: Value of the macro `program`.
    """

    id: str
    number: int
    parameters: Parameters
    directory: Path
    command: tuple[str, ...] = ()
    program: str = ""

    def state(self) -> TrialState:
        """Return the state, from the files in the directory and the locks on them."""
        if any(is_held(self.directory / name) for name in (TRIAL_LOCK, LOCK)):
            return TrialState.RUNNING
        return self.recorded_state()

    def recorded_state(self) -> TrialState:
        """Return the state by the files alone, whether a process runs or not."""
        result = self.result()
        if result is not None:
            current = result.provenance.versions.get("acl_lightning") == acl_lightning.__version__
            return TrialState.FINISHED if current else TrialState.STALE
        failed = (self.directory / FAILURE).exists() or run_status(self.directory) == "failed"
        return TrialState.FAILED if failed else TrialState.WAITING

    def result(self) -> RunResult | None:
        """Return the result; None where the trial has no complete result."""
        try:
            return read_result(self.directory, added_points=False)
        except UserError:
            return None

    def failure(self) -> str | None:
        """Return the reason of the last failure; None where there is none."""
        try:
            content = json.loads((self.directory / FAILURE).read_text(encoding="utf-8"))
            return str(content["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        try:
            return read_result(self.directory, unfinished=True, added_points=False).error
        except UserError:
            return None

    def command_line(self) -> list[str]:
        """Return the sweep's command with the parameters, the run directory and `--ckpt_path=auto`."""
        items = expand(self.command, self.parameters, self.directory / PARAMETERS, self.program)
        return [*items, f"--run_dir={self.directory}", "--ckpt_path=auto"]

    def label(self) -> str:
        """Return number and parameters as a short text."""
        pairs = (f"{name.rpartition('.')[2]}={_short(value)}" for name, value in self.parameters.items())
        return f"{self.number} ({', '.join(pairs)})"

    def prepare(self) -> None:
        """Write the description and the parameters of the trial; put away a damaged result and an earlier failure.

        Raises:
            UserError: The file system refuses a write.
        """
        if run_status(self.directory) == "damaged":
            (self.directory / RESULT).replace(self.directory / f"damaged-{RESULT}")
        (self.directory / FAILURE).unlink(missing_ok=True)
        write_text_atomically(self.directory / PARAMETERS, json.dumps(dict(self.parameters), indent=2) + "\n")
        write_description(self.directory, self.id, self.command, self.parameters)

    def record_failure(self, reason: str, attempts: int) -> None:
        """Write the reason of a failure.

        Args:
            reason: Reason in a line.
            attempts: Number of attempts so far.

        Raises:
            UserError: The file system refuses the write.
        """
        content = {"reason": reason, "attempts": attempts, "version": acl_lightning.__version__}
        write_text_atomically(self.directory / FAILURE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_description(directory: Path, identity: str, command: Sequence[str], parameters: Parameters) -> None:
    """Write `trial.json`: identity, parameters, command, configuration files and version of this package.

    Args:
        directory: Run directory.
        identity: Identity of the trial.
        command: Items of the sweep's command, with macros.
        parameters: Parameters of the trial.

    Raises:
        UserError: The file system refuses the write.
    """
    content: Mapping[str, JsonValue] = {
        "id": identity,
        "parameters": parameters,
        "command": list(command),
        "configuration_files": [*split_configurations(command)[0], *named_configurations(parameters)],
        "version": acl_lightning.__version__,
    }
    write_text_atomically(directory / TRIAL, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _short(value: JsonValue) -> str:
    """Return a value without folders and endings of configuration files."""
    if isinstance(value, list | tuple):
        return "+".join(_short(item) for item in value)
    text = "null" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return Path(text).stem if text.endswith((".yaml", ".json")) else text
