"""Random and Bayesian search with Optuna, in an SQLite file that several runners share."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from filelock import FileLock

from acl_lightning.errors import UserError
from acl_lightning.studies.trials.sweep import Sweep
from acl_lightning.studies.trials.trial import Trial, TrialState
from acl_lightning.studies.trials.values import JsonValue, Parameters

if TYPE_CHECKING:
    import optuna

#: File with the trials of Optuna, in the directory of the study, and the lock for additions.
STORAGE = "optuna.db"
STORAGE_LOCK = "optuna.lock"

#: Attribute of a trial of Optuna with the parameters in JSON.
_ATTRIBUTE = "parameters"

#: Probabilities at which distributions without bounds are cut.
_TAIL = 1e-4


class SearchQueue:
    """The trials of a random or Bayesian search.

    The samples follow from the number of the trial, so that a repeated search has the same random samples. A Bayesian
    search uses Optuna's tree-structured Parzen estimator on the trials that have finished by then. Bounded parameters
    are distributions of Optuna. Others (`normal`, `log_normal`, `beta`, `inv_log_uniform_values`, and those with a step
    `q`) are searched by their quantile, as W&B does.

    Args:
        sweep: The sweep.
        root: Directory of the run directories of all trials.
        total: Number of trials of the study, those of earlier runners included.

    Raises:
        UserError: Optuna is not installed, or the sweep has no metric for a Bayesian search.
    """

    def __init__(self, sweep: Sweep, root: Path, total: int) -> None:
        self.total = total
        self._sweep, self._root = sweep, root
        self._study = _open_study(sweep, study_directory(sweep, root))
        self._lock = FileLock(study_directory(sweep, root) / STORAGE_LOCK)
        self._waiting = deque(self._stored())
        self._numbers = {trial.number for trial in self._waiting}

    def take(self) -> Trial | None:
        """Return a trial that the storage has and this runner has not looked at; else a new one, up to `total`."""
        if not self._waiting:
            new = [trial for trial in self._stored() if trial.number not in self._numbers]
            self._waiting.extend(new)
            self._numbers |= {trial.number for trial in new}
        return self._waiting.popleft() if self._waiting else self._ask()

    def done(self, trial: Trial) -> None:
        """Tell Optuna the metric of a finished trial, or that it has failed.

        Raises:
            UserError: The result does not have the metric of the sweep.
        """
        import optuna  # noqa: PLC0415 - an extra

        result = trial.result() if trial.recorded_state() == TrialState.FINISHED else None
        value = None if result is None else metric_of(trial, self._sweep)
        state = None if value is not None else optuna.trial.TrialState.FAIL
        self._study.tell(trial.number, value, state=state, skip_if_finished=True)

    @property
    def started(self) -> bool:
        """Whether the study has trials."""
        return bool(self._numbers)

    def samples(self, number: int = 16) -> list[Trial]:
        """Return random samples of the parameters that do not belong to the study, to check their settings."""
        import optuna  # noqa: PLC0415 - an extra

        study = optuna.create_study()
        return [self._trial(_suggest(study, study.ask(), self._sweep), index) for index in range(number)]

    def draw(self) -> tuple[Trial, ...]:
        """Return the first `total` trials, of which those that do not exist are drawn and stored now."""
        while self._ask() is not None:
            pass
        return tuple(self._stored()[: self.total])

    def _ask(self) -> Trial | None:
        with self._lock:
            if len(self._stored()) >= self.total:
                return None
            asked = self._study.ask()
            parameters = _suggest(self._study, asked, self._sweep)
            asked.set_user_attr(_ATTRIBUTE, json.dumps(parameters))
        self._numbers.add(asked.number)
        return self._trial(parameters, asked.number)

    def _stored(self) -> list[Trial]:
        return _trials_of(self._study, self._sweep, self._root)

    def _trial(self, parameters: Parameters, number: int) -> Trial:
        return self._sweep.trial(parameters, number, self._root)


def stored_trials(sweep: Sweep, root: Path) -> tuple[Trial, ...]:
    """Return the trials of a search that runners have drawn; none where the search has not started. Writes nothing.

    Args:
        sweep: The sweep.
        root: Directory of the run directories of all trials.

    Raises:
        UserError: Optuna is not installed.
    """
    directory = study_directory(sweep, root)
    if not (directory / STORAGE).is_file():
        return ()
    optuna = _optuna(sweep)
    try:
        study = optuna.load_study(study_name=_study_name(sweep), storage=_storage(directory))
    except KeyError:  # the file belongs to other definitions of the study
        return ()
    return tuple(_trials_of(study, sweep, root))


def study_directory(sweep: Sweep, root: Path) -> Path:
    """Return the directory of the storage of a study: `studies/NAME` beside the directory of the trials."""
    return root.parent / "studies" / sweep.name.replace("/", "-")


def metric_of(trial: Trial, sweep: Sweep) -> float | None:
    """Return the value that a sweep optimises from the result of a trial; None where it is not a number.

    Raises:
        UserError: The result does not have the metric.
    """
    result = trial.result()
    if result is None or sweep.metric is None:
        return None if result is None else 0.0
    if sweep.metric.name not in result.metrics:
        known = ", ".join(sorted(result.metrics)) or "no metrics"
        remedy = f"Set metric.name in {sweep.path} to one of them."
        raise UserError(f"the metric {sweep.metric.name} in the result of trial {trial.label()}", known, remedy)
    return result.metrics[sweep.metric.name]


def _trials_of(study: optuna.Study, sweep: Sweep, root: Path) -> list[Trial]:
    return [
        sweep.trial(json.loads(frozen.user_attrs[_ATTRIBUTE]), frozen.number, root)
        for frozen in study.get_trials(deepcopy=False)
        if _ATTRIBUTE in frozen.user_attrs
    ]


def _optuna(sweep: Sweep) -> ModuleType:
    try:
        import optuna  # noqa: PLC0415 - an extra
    except ImportError as error:
        remedy = "Install it with: pip install 'acl-lightning[studies]'; or set method to grid."
        raise UserError(f"the package optuna for the method {sweep.method}", "none", remedy) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _storage(directory: Path) -> str:
    return f"sqlite:///{directory.resolve() / STORAGE}"


def _study_name(sweep: Sweep) -> str:
    """Return the name in the storage. Each definition of parameters, command and metric is a study."""
    definition = json.dumps([sweep.method, str(sweep.metric), dict(sweep.parameters), sweep.command], default=str)
    return f"{sweep.name}-{hashlib.sha256(definition.encode()).hexdigest()[:8]}"


def _open_study(sweep: Sweep, directory: Path) -> optuna.Study:
    """Open or create the study of Optuna."""
    package = _optuna(sweep)
    directory.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", package.exceptions.ExperimentalWarning)
        study: optuna.Study = package.create_study(
            storage=_storage(directory),
            study_name=_study_name(sweep),
            direction=sweep.metric.goal if sweep.metric else "minimize",
            load_if_exists=True,
        )
    return study


def _sampler(method: str, seed: int) -> optuna.samplers.BaseSampler:
    import optuna  # noqa: PLC0415 - an extra

    if method == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)  # running trials count as bad ones


def _suggest(study: optuna.Study, asked: optuna.Trial, sweep: Sweep) -> dict[str, JsonValue]:
    """Return the parameters of a new trial of Optuna."""
    study.sampler = _sampler(sweep.method, asked.number)
    return {name: _value(asked, name, dict(entry)) for name, entry in sweep.parameters.items()}


def _value(asked: optuna.Trial, name: str, entry: dict[str, JsonValue]) -> JsonValue:
    """Return the value of a parameter, by the distribution that its entry in the sweep file describes."""
    from sweeps.params import HyperParameter  # noqa: PLC0415 - an extra

    parameter = HyperParameter(name, entry)
    config = parameter.config
    if parameter.type == HyperParameter.CONSTANT:
        return config["value"]  # type: ignore[no-any-return]
    if parameter.type == HyperParameter.CATEGORICAL:  # values may be lists, which are no categories of Optuna
        values: list[JsonValue] = config["values"]
        return values[asked.suggest_categorical(name, range(len(values)))]
    if parameter.type == HyperParameter.INT_UNIFORM:
        return asked.suggest_int(name, config["min"], config["max"])
    if parameter.type in {HyperParameter.UNIFORM, HyperParameter.LOG_UNIFORM_V2}:
        is_log = parameter.type == HyperParameter.LOG_UNIFORM_V2
        return asked.suggest_float(name, config["min"], config["max"], log=is_log)
    value = parameter.ppf(asked.suggest_float(name, _TAIL, 1 - _TAIL))
    return value.item() if hasattr(value, "item") else value  # type: ignore[no-any-return]
