"""Runner: the trials of a study as processes on this machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from acl_lightning.errors import UserError
from acl_lightning.runs.names import CHECKPOINTS
from acl_lightning.studies.trials.locks import TrialLock
from acl_lightning.studies.trials.process import MISTAKE, TrialProcess, full_disk, is_full_disk, stop
from acl_lightning.studies.trials.progress import Counts, Progress, duration
from acl_lightning.studies.trials.queue import TrialQueue
from acl_lightning.studies.trials.trial import FAILURE, Trial, TrialState

#: Seconds between two looks at the running processes, and at trials that other processes run.
INTERVAL = 0.1
INTERVAL_ELSEWHERE = 2.0


class _Start(Enum):
    """Outcome of an attempt to start a trial."""

    STARTED = auto()
    DONE = auto()
    ELSEWHERE = auto()


@dataclass(frozen=True)
class Slots:
    """Places in which trials run at the same time.

    Attributes:
        workers: Number of places.
        devices: CUDA devices; a place uses one of them in turn. None: trials see all devices.
        threads: Threads of a trial on a CPU; None: as set by the environment.
    """

    workers: int = 1
    devices: Sequence[str] | None = None
    threads: int | None = 1

    def environment(self, place: int) -> dict[str, str]:
        """Return the environment variables of a place, counted from 0."""
        variables = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        if self.devices:
            variables["CUDA_VISIBLE_DEVICES"] = self.devices[place % len(self.devices)]
        return {**variables, "TOKENIZERS_PARALLELISM": "false"}

    def warning(self) -> str | None:
        """Return a warning where the places need more cores than this process may use; None otherwise."""
        cores = len(os.sched_getaffinity(0))
        needed = self.workers * (self.threads or 1)
        if self.devices or needed <= cores:
            return None
        return f"--workers {self.workers} is more than the {cores} cores of this machine: trials slow each other down."


@dataclass
class Runner:
    """Runs trials until all have finished or failed.

    A trial whose result exists is not run. A trial that another process runs is left to it; when that process ends, the
    trial is looked at again. An interrupted trial continues from its checkpoint, by `--ckpt_path=auto`. A trial that
    fails is repeated, unless its configuration is wrong (exit code 2).

    Attributes:
        queue: The trials.
        slots: Places in which they run.
        retries: Number of further attempts after a failure.
        stale: Whether to run trials again whose result is of another version of this package. The old directory is
            kept under another name.
        discard_checkpoints: Whether to remove the checkpoints of a trial when it has finished. Its result, logits and
            figures stay; `predict`, `export` and `latency` need the checkpoints.
    """

    queue: TrialQueue
    slots: Slots = field(default_factory=Slots)
    retries: int = 1
    stale: bool = False
    discard_checkpoints: bool = False

    def __post_init__(self) -> None:
        self.counts = Counts(self.queue.total)
        self.progress = Progress(self.counts, self.slots.workers)
        self.failures: dict[str, str] = {}
        self.stale_trials: list[str] = []
        self._running: dict[int, TrialProcess] = {}
        self._attempts: dict[str, int] = {}
        self._again: list[Trial] = []
        self._elsewhere: list[Trial] = []
        self._looked = 0.0
        self._started = time.time()

    def run(self) -> Mapping[str, str]:
        """Run the trials.

        Returns:
            Label of each failed trial -> reason.

        Raises:
            UserError: The disk is full, or a file cannot be written.
            KeyboardInterrupt, SystemExit: The runner was stopped; it has stopped its trials.
        """
        with self.progress:
            try:
                while self._step():
                    time.sleep(INTERVAL)
            except BaseException:
                stop(list(self._running.values()))
                for process in self._running.values():
                    process.lock.release()
                raise
        return self.failures

    def _step(self) -> bool:
        """Look at the running trials and start others. Returns whether something is left to do."""
        for place, process in list(self._running.items()):
            if process.exit_code() is not None:
                self._end(place, process)
        while len(self._running) < self.slots.workers and (trial := self._next()) is not None:
            self._take(trial)
        self.counts.elsewhere = len(self._elsewhere)
        return bool(self._running or self._again or self._elsewhere)

    def _next(self) -> Trial | None:
        if self._again:
            return self._again.pop(0)
        trial = self.queue.take()
        if trial is None and self._elsewhere and time.monotonic() - self._looked > INTERVAL_ELSEWHERE:
            self._looked = time.monotonic()
            free = [trial for trial in self._elsewhere if trial.state() != TrialState.RUNNING]
            if free:
                self._elsewhere.remove(free[0])
                self._looked = 0.0
                return free[0]
        return trial

    def _take(self, trial: Trial) -> None:
        """Start a trial in a free place, unless it is done or another process runs it."""
        if trial.state() == TrialState.FINISHED:
            self._finished(trial, None)
            return
        try:
            lock = TrialLock.take(trial.directory)
            if lock is None:
                self._elsewhere.append(trial)
                return
            self._start(trial, lock)
        except (OSError, UserError) as error:
            if is_full_disk(error):
                raise full_disk(trial.directory) from error
            raise

    def _start(self, trial: Trial, lock: TrialLock) -> None:
        state = trial.recorded_state()
        if state == TrialState.STALE and self.stale:
            try:
                _put_away(trial.directory)
            finally:
                lock.release()
            self._again.append(trial)
            return
        if state in {TrialState.FINISHED, TrialState.STALE} or self._failed_elsewhere(trial, state):
            lock.release()
            if state == TrialState.FINISHED:
                self._finished(trial, None)
            elif state == TrialState.STALE:
                self.counts.total -= 1
                self.stale_trials.append(trial.label())
                self.queue.done(trial)
            else:
                self._failed(trial, str(trial.failure()))
            return
        place = next(number for number in range(self.slots.workers) if number not in self._running)
        attempt = self._attempts.get(trial.id, 0) + 1
        self._attempts[trial.id] = attempt
        try:
            process = TrialProcess(trial, lock, self.slots.environment(place), attempt)
        except BaseException:
            lock.release()
            raise
        self._running[place] = process
        self.counts.running[trial.label()] = process.started

    def _failed_elsewhere(self, trial: Trial, state: TrialState) -> bool:
        """Whether another runner, since the start of this one, has given the trial up."""
        if state != TrialState.FAILED or trial.id in self._attempts:
            return False
        failure = trial.directory / FAILURE
        return failure.exists() and failure.stat().st_mtime > self._started

    def _end(self, place: int, process: TrialProcess) -> None:
        """Note how a trial ended."""
        trial, code = process.trial, process.exit_code()
        seconds = time.monotonic() - process.started
        del self._running[place]
        self.counts.running.pop(trial.label(), None)
        state = trial.recorded_state()
        if code == 0 and state == TrialState.FINISHED and self.discard_checkpoints:
            shutil.rmtree(trial.directory / CHECKPOINTS, ignore_errors=True)
        process.lock.release()
        if code == 0 and state == TrialState.FINISHED:
            self._finished(trial, seconds)
            return
        if trial.state() == TrialState.RUNNING:  # another process was faster
            self._elsewhere.append(trial)
            return
        if process.disk_is_full():
            raise full_disk(trial.directory)
        reason = process.reason() if code else f"exit code 0, but no complete result in {trial.directory}"
        if process.attempt <= self.retries and code != MISTAKE:
            self._again.append(trial)
            self.progress.event(f"failed, to be repeated: trial {trial.label()}: {reason}")
            return
        trial.record_failure(reason, process.attempt)
        self._failed(trial, reason)

    def _finished(self, trial: Trial, seconds: float | None) -> None:
        self.counts.finished += 1
        self.queue.done(trial)
        if seconds is not None:
            self.counts.seconds.append(seconds)
            self.progress.event(f"finished after {duration(seconds)}: trial {trial.label()}")

    def _failed(self, trial: Trial, reason: str) -> None:
        self.counts.failed += 1
        self.failures[trial.label()] = reason
        self.queue.done(trial)
        self.progress.event(
            f"failed: trial {trial.label()}: {reason.rstrip('.')}. Log: {trial.directory / 'trial.log'}"
        )


def _put_away(directory: Path) -> None:
    """Rename the directory of a stale trial."""
    number = 1
    while (kept := directory.with_name(f"{directory.name}-stale-{number}")).exists():
        number += 1
    try:
        directory.rename(kept)
    except OSError as error:
        raise UserError(f"to rename {directory}", str(error.strerror), "Remove this directory.") from error
