"""Status of a study: number of trials in each state, and what needs attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from acl_lightning.studies.trials.progress import duration
from acl_lightning.studies.trials.trial import Trial, TrialState


@dataclass(frozen=True)
class StudyStatus:
    """States of the trials of a study.

    Attributes:
        name: Name of the study.
        states: Trial and its state, in the order of the sweep.
        seconds: Durations of the finished trials, in seconds.
    """

    name: str
    states: Sequence[tuple[Trial, TrialState]]
    seconds: Sequence[float]

    @classmethod
    def of(cls, name: str, trials: Sequence[Trial]) -> StudyStatus:
        """Return the status of trials, from their files and locks."""
        states = [(trial, trial.state()) for trial in trials]
        seconds = [
            (result.provenance.fit_seconds or 0.0) + (result.provenance.validate_seconds or 0.0)
            for trial, state in states
            if state == TrialState.FINISHED and (result := trial.result()) is not None
        ]
        return cls(name, states, seconds)

    def number(self, state: TrialState) -> int:
        """Return the number of trials in a state."""
        return sum(1 for _, other in self.states if other == state)

    def hours_left(self) -> float | None:
        """Return the hours that the trials left take in a single place; None where none has finished."""
        left = sum(self.number(state) for state in (TrialState.WAITING, TrialState.RUNNING, TrialState.FAILED))
        return left * sum(self.seconds) / len(self.seconds) / 3600 if self.seconds else None

    def show(self, console: Console | None = None) -> None:
        """Print a table of the states, and the failed, stale and running trials."""
        console = console or Console(soft_wrap=True)
        table = Table(title=f"Study {self.name}", title_justify="left")
        table.add_column("state")
        table.add_column("trials", justify="right")
        for state in TrialState:
            table.add_row(state.value, str(self.number(state)))
        table.add_row("total", str(len(self.states)), style="bold")
        console.print(table)
        for trial, state in self.states:
            if state == TrialState.FAILED:
                console.print(Text(f"failed: trial {trial.label()}: {trial.failure()}"))
            elif state in {TrialState.RUNNING, TrialState.STALE}:
                console.print(Text(f"{state.value}: trial {trial.label()}, {trial.directory}"))
        hours = self.hours_left()
        if hours:
            console.print(Text(f"Time left: about {duration(3600 * hours)} divided by the number of workers."))
        if self.number(TrialState.STALE):
            console.print(Text("Stale results are of another version: `study run --rerun-stale` replaces them."))
