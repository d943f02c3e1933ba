"""Sweep: the definition of a study, a file that W&B reads too."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from acl_lightning.errors import UserError
from acl_lightning.studies.trials.agent_runs import with_agent_runs
from acl_lightning.studies.trials.command import check_command
from acl_lightning.studies.trials.identity import trial_id
from acl_lightning.studies.trials.schema import read_sweep_file
from acl_lightning.studies.trials.trial import Trial
from acl_lightning.studies.trials.values import JsonValue, Parameters


@dataclass(frozen=True)
class Metric:
    """Logged value that a sweep optimises.

    Attributes:
        name: Name under which `fit` logs the value.
        goal: Direction.
    """

    name: str
    goal: Literal["minimize", "maximize"] = "minimize"


@dataclass(frozen=True)
class Sweep:
    """Definition of a study, as a sweep of W&B.

    Attributes:
        name: Name of the study.
        method: `grid`, `random` or `bayes`.
        metric: Metric to optimise; None where there is none.
        parameters: Setting, with dots -> its entry in the file: `{"values": [1, 2]}`.
        command: Items of the command of a trial, with macros.
        path: The file.
        program: Value of the macro `program`.
    """

    name: str
    method: str
    metric: Metric | None
    parameters: Mapping[str, Mapping[str, JsonValue]]
    command: tuple[str, ...]
    path: Path
    program: str = ""

    @classmethod
    def read(cls, path: Path) -> Sweep:
        """Read a sweep file; it is checked by W&B's schema and for what this program needs.

        Raises:
            UserError: The file is missing or wrong; the message names the entry.
        """
        content = read_sweep_file(path)
        command = tuple(str(item) for item in content["command"])
        check_command(command, path)
        metric = content.get("metric")
        return cls(
            name=str(content.get("name") or path.resolve().parent.name),
            method=content["method"],
            metric=Metric(**{key: metric[key] for key in ("name", "goal") if key in metric}) if metric else None,
            parameters=dict(_flat(content["parameters"])),
            command=command,
            path=path,
            program=str(content.get("program", "")),
        )

    def overridden(self, overrides: Mapping[str, Sequence[JsonValue]]) -> Sweep:
        """Return the sweep with other values of some parameters; a parameter that it does not have is added.

        Args:
            overrides: Setting -> values, from `--set`.
        """
        changes = {key: {"values": list(values)} for key, values in overrides.items()}
        return Sweep(**{**self.__dict__, "parameters": {**self.parameters, **changes}})

    def trials(
        self, root: Path, overrides: Mapping[str, Sequence[JsonValue]] | None = None, runs: Path | None = None
    ) -> tuple[Trial, ...]:
        """Return the trials of a grid: the product of the values, in which the last parameter changes fastest.

        Args:
            root: Directory of the run directories of all trials.
            overrides: Setting -> values that replace those of the file.
            runs: Directory of the runs that W&B's agents made; a finished one stands for a trial that has not finished.

        Raises:
            UserError: The method is not `grid`, a parameter has no list of values, two trials are the same, or a
                configuration file is missing.
        """
        sweep = self.overridden(overrides or {})
        axes = [[(name, value) for value in sweep.values(name)] for name in sweep.parameters]
        trials = [sweep.trial(dict(pairs), number, root) for number, pairs in enumerate(itertools.product(*axes))]
        first: dict[str, Trial] = {}
        for trial in trials:
            twin = first.setdefault(trial.id, trial)
            if twin is not trial:
                raise UserError(
                    f"different trials in {self.path}",
                    f"trials {twin.label()} and {trial.label()}, which are the same",
                    "List every value of a parameter once.",
                )
        return tuple(trials) if runs is None else with_agent_runs(trials, runs)

    def trial(self, parameters: Parameters, number: int, root: Path) -> Trial:
        """Return a trial with its identity and run directory.

        Args:
            parameters: Setting -> value.
            number: Position in the sweep.
            root: Directory of the run directories of all trials.

        Raises:
            UserError: A configuration file is missing or cannot be read.
        """
        identity = trial_id(self.command, parameters)
        return Trial(identity, number, parameters, root / identity, self.command, self.program)

    def values(self, name: str) -> Sequence[JsonValue]:
        """Return the values of a parameter of a grid.

        Raises:
            UserError: The entry is a distribution, which a grid cannot list.
        """
        entry = self.parameters[name]
        if "values" in entry:
            values = entry["values"]
            assert isinstance(values, list)
            return values
        if "value" in entry:
            return [entry["value"]]
        low, high = entry.get("min"), entry.get("max")
        if isinstance(low, int) and isinstance(high, int) and entry.get("distribution", "int_uniform") == "int_uniform":
            return list(range(low, high + 1))
        raise UserError(
            f"a list of values for the parameter {name} of a grid in {self.path}",
            str(dict(entry)),
            f"Set parameters.{name} to {{values: [...]}}, or method to random.",
        )


def _flat(parameters: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Mapping[str, JsonValue]]]:
    """Return nested parameters with dotted names."""
    flat: list[tuple[str, Mapping[str, JsonValue]]] = []
    for name, entry in parameters.items():
        nested = entry.get("parameters")
        flat += _flat(nested, f"{prefix}{name}.") if isinstance(nested, dict) else [(f"{prefix}{name}", entry)]
    return flat
