"""Checks of the trials of a sweep before any of them starts: settings, and the metric to optimise."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from acl_lightning.errors import UserError
from acl_lightning.studies.trials.command import arguments_of_fit, expand
from acl_lightning.studies.trials.sweep import Sweep
from acl_lightning.studies.trials.trial import Trial, TrialState

#: Parameter whose values need no check.
SEED = "seed_everything"

#: Program that parses settings, see there.
PARSER = "acl_lightning.cli.study.parsing"

#: Metrics that `fit` logs: of the exit sweep, of the validation and training, and of callbacks.
LOGGED = re.compile(r"(exit|val|train|gradient|representation)/.+")

#: Metrics that studies optimise, for the message about an unknown metric.
EXAMPLES = ("exit/area", "exit/drop1/quality", "exit/drop1/layer_speedup", "val/selection", "val/accuracy")


def check_metric(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Refuse a metric that `fit` does not log, by its name or by the result of a finished trial.

    Args:
        sweep: The sweep.
        trials: Some of its trials.

    Raises:
        UserError: The metric is missing for a Bayesian search, or is not logged. The nearest name is in the message.
    """
    if sweep.metric is None:
        if sweep.method == "bayes":
            remedy = "Set metric to {name: exit/area, goal: maximize}."
            raise UserError(f"a metric in {sweep.path} for the method bayes", "none", remedy)
        return
    results = (trial.result() for trial in trials if trial.state() == TrialState.FINISHED)
    result = next((result for result in results if result is not None), None)
    names = list(result.metrics) if result is not None else []
    name = sweep.metric.name
    if name in names or (not names and (arguments_of_fit(sweep.command) is None or LOGGED.fullmatch(name))):
        return
    known = names or EXAMPLES
    close = difflib.get_close_matches(name, known, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"Set metric.name for example to {EXAMPLES[0]}."
    raise UserError(f"a metric that the trials of {sweep.path} log", name, remedy)


def check_settings(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Refuse parameters that `fit` does not have, and values that it does not accept.

    The arguments of a selection of trials in which every value of every parameter occurs are parsed, in one process;
    the progress is shown. Values of trials that have finished are not parsed again.

    Args:
        sweep: The sweep.
        trials: Its trials.

    Raises:
        UserError: `fit` refuses the arguments of a trial. The trial and the setting are in the message.
    """
    if arguments_of_fit(sweep.command) is None:
        return
    selected = selection(trials)
    if not selected:
        return
    requests = [["fit", *(arguments_of_fit(_expanded(trial)) or [])] for trial in selected]
    console = Console(soft_wrap=True)
    console.print(f"Checking the settings of {len(selected)} trials, in which every value occurs.")
    messages = track(_messages(sweep, requests), "", len(selected), console=console, transient=True)
    for trial, message in zip(selected, messages, strict=False):  # ends at the first error
        if message is not None:
            raise _refused(sweep, trial, message)


def _messages(sweep: Sweep, requests: Sequence[Sequence[str]]) -> Iterator[str | None]:
    """Yield the message with which `fit` refuses each list of arguments, or None, as soon as it is known."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", PARSER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(requests))
                process.stdin.close()
            try:
                yield from map(json.loads, process.stdout)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"the settings of {sweep.path} could not be parsed:\n{errors.read()}")


def _refused(sweep: Sweep, trial: Trial, message: str) -> UserError:
    """Return the error for a trial that `fit` refuses, with the parts of the message of `fit`."""
    place = f"in trial {trial.label()} of {sweep.path}"
    parts = re.fullmatch(r"expected (.*); found (.*?)\. ([A-Z].*)", message)
    if parts is None:
        return UserError(f"settings that fit accepts {place}", message.rstrip("."), "Correct the sweep.")
    return UserError(f"{parts[1]} {place}", parts[2], parts[3])


def selection(trials: Sequence[Trial]) -> list[Trial]:
    """Return unfinished trials such that every value of a parameter that no finished trial has occurs in them.

    The seed does not count.
    """
    pairs = [
        (trial, {(key, repr(value)) for key, value in trial.parameters.items() if key != SEED}) for trial in trials
    ]
    finished = [trial.recorded_state() == TrialState.FINISHED for trial in trials]
    seen = {pair for (_, own), done in zip(pairs, finished, strict=True) if done for pair in own}
    selected = [] if any(finished) else [trials[0]] if trials else []
    seen |= {pair for trial, own in pairs if trial in selected for pair in own}
    for (trial, own), done in zip(pairs, finished, strict=True):
        if not done and own - seen:
            selected.append(trial)
            seen |= own
    return selected


def _expanded(trial: Trial) -> list[str]:
    """Return the command of a trial with the parameters written out, since their file does not exist yet."""
    file = Path(json.dumps(dict(trial.parameters)))
    return expand(trial.command, trial.parameters, file, trial.program)
