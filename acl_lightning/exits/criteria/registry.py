"""Registry of exit criteria: their names, and how a stored description becomes a criterion again.

Files that may come from elsewhere (`result.json`, the `config.json` of an export) name criteria. Reading them imports
nothing that they name: a name is looked up here, or among the entry points of installed packages.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeVar

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.calibrated import Calibrated
from acl_lightning.exits.criteria.confidence import Confidence
from acl_lightning.exits.criteria.consecutive.fpabee import FPABEE
from acl_lightning.exits.criteria.consecutive.patience import Patience
from acl_lightning.exits.criteria.consecutive.pcee import PCEE
from acl_lightning.exits.criteria.ensembled import Ensembled
from acl_lightning.exits.criteria.entropy import Entropy
from acl_lightning.exits.criteria.learnt_gate import LearntGate
from acl_lightning.exits.criteria.margin import Margin
from acl_lightning.exits.criteria.prototype_margin import PrototypeMargin
from acl_lightning.exits.criteria.static import Static

Kind = TypeVar("Kind", bound=type[Criterion])

#: Entry-point group in which an installed package offers criteria: `name = "package.module:Class"`.
ENTRY_POINTS = "acl_lightning.criteria"

#: The criteria of this package, in the order in which they are swept and offered.
BUILT_IN: tuple[type[Criterion], ...] = (
    Confidence,
    Entropy,
    Margin,
    Patience,
    PCEE,
    FPABEE,
    LearntGate,
    PrototypeMargin,
    Static,
    Calibrated,
    Ensembled,
)

_registered: dict[str, type[Criterion]] = {kind.name: kind for kind in BUILT_IN}


def register(kind: Kind) -> Kind:
    """Make a criterion of another package known by its `name`. Usable as a class decorator.

    Commands find a registered criterion by name (`curves --criterion NAME`), and files that name it can be read. On the
    command line `--trust MODULE` imports a module and registers its criteria; an installed package can offer them in
    the entry-point group `acl_lightning.criteria` instead.

    Args:
        kind: Concrete subclass of `Criterion`. Each public attribute of its objects is an argument of its constructor.

    Returns:
        The class itself.

    Raises:
        UserError: The class is abstract or no criterion, has no `name`, or another class has the same name.
    """
    name = getattr(kind, "name", None)
    if not (inspect.isclass(kind) and issubclass(kind, Criterion)) or inspect.isabstract(kind):
        raise UserError("a concrete subclass of Criterion", f"{kind!r}", "Implement all abstract methods.")
    if not isinstance(name, str) or not name:
        raise UserError(f"a name of {_path(kind)}", f"{name!r}", 'Set the class attribute, for example name = "mine".')
    known = _registered.get(name)
    if known is not None and _path(known) != _path(kind):
        raise UserError(f"a new name for {_path(kind)}", f"{name!r} of {_path(known)}", "Change its attribute name.")
    _registered[name] = kind  # a notebook cell that runs again replaces its own class
    return kind


def register_module(module: ModuleType) -> None:
    """Register every concrete criterion that a module (or a package of modules) defines or re-exports."""
    root = module.__name__.partition(".")[0]
    for kind in vars(module).values():
        is_criterion = inspect.isclass(kind) and issubclass(kind, Criterion) and not inspect.isabstract(kind)
        if is_criterion and kind.__module__.partition(".")[0] == root:
            register(kind)


def criterion_names() -> list[str]:
    """Return the names of all criteria: built in, registered, and offered by installed packages."""
    return list(dict.fromkeys([*_registered, *(point.name for point in entry_points(group=ENTRY_POINTS))]))


def criterion_class(name: str) -> type[Criterion]:
    """Return the class of the criterion `name`.

    Raises:
        UserError: There is none of that name; the message lists those that exist.
    """
    if name not in _registered:
        for point in entry_points(group=ENTRY_POINTS, name=name):
            register(point.load())
    if name not in _registered:
        raise UserError(
            f"a criterion among {', '.join(criterion_names())}",
            f"{name!r}",
            "Choose one of them; add --trust MODULE for a criterion of your own.",
        )
    return _registered[name]


def named_criterion(name: str) -> Criterion:
    """Return a criterion by its name, with its default settings.

    Raises:
        UserError: No criterion has that name, or it needs arguments.
    """
    try:
        return criterion_class(name)()
    except TypeError as error:
        raise UserError(f"a criterion that needs no arguments, not {name!r}", f"{error}", "Use entropy.") from error


def default_criteria() -> list[Criterion]:
    """Return the criteria that are swept and offered by default: the built-in criteria with their default settings.

    `Calibrated` needs temperatures and `Ensembled` weights; they are not among them.
    """
    return [kind() for kind in BUILT_IN if kind not in (Calibrated, Ensembled)]


def readable_criteria(
    criteria: Iterable[Criterion], *, is_regression: bool, has_gate: bool, has_cosines: bool = False
) -> list[Criterion]:
    """Return those of the criteria that can read a model's outputs.

    Args:
        criteria: Criteria to choose from.
        is_regression: Whether the exits give a value instead of class logits.
        has_gate: Whether the model has a learnt gate.
        has_cosines: Whether the cosines with the label embeddings are known.
    """
    return [
        criterion
        for criterion in criteria
        if (criterion.supports_regression or not is_regression)
        and (has_gate or criterion.name != LearntGate.name)
        and (has_cosines or not criterion.reads_cosines)
    ]


def to_config(criterion: Criterion) -> dict[str, Any]:
    """Describe a criterion in plain JSON types: `{"name": ..., "settings": {...}}`.

    Settings are the object's public attributes except `name`; a criterion among them is described in the same way. A
    criterion of another package has `class_path` beside them, for the reader of the file: it is never imported.
    """
    kind = type(criterion)
    settings = {
        key: to_config(value) if isinstance(value, Criterion) else _without_tuples(value)
        for key, value in vars(criterion).items()
        if not key.startswith("_") and key != "name"
    }
    origin = {} if kind in BUILT_IN else {"class_path": _path(kind)}
    return {"name": kind.name, **origin, "settings": settings}


def _without_tuples(value: object) -> object:
    return [_without_tuples(item) for item in value] if isinstance(value, tuple) else value


def from_config(content: object) -> Criterion:
    """Build the criterion that `to_config` described. Nothing is imported that the description names.

    Descriptions of earlier versions, `{"class_path": ..., "init_args": {...}}`, are read too where the class is one of
    this package or registered.

    Raises:
        UserError: The description is damaged, or names a criterion that is not known.
    """
    if not isinstance(content, Mapping):
        raise UserError("the description of an exit criterion", f"{content!r}", "Run `validate` again.")
    kind, settings = _kind(content), content.get("settings", content.get("init_args")) or {}
    if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
        raise UserError(f"settings of the criterion {kind.name} by name", f"{settings!r}", "Run `validate` again.")
    arguments = {key: from_config(value) if isinstance(value, Mapping) else value for key, value in settings.items()}
    try:
        return kind(**arguments)
    except UserError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"settings of the criterion {kind.name}", f"{error}", "Run `validate` again.") from error


def _kind(content: Mapping[str, Any]) -> type[Criterion]:
    """Return the class that a description names: by its name or, in an earlier version's file, by its class path."""
    name, path = content.get("name"), content.get("class_path")
    if name is None and isinstance(path, str):
        name = _name_of(path)
    if isinstance(name, str) and name in criterion_names():
        return criterion_class(name)
    module = path.rpartition(".")[0] if isinstance(path, str) else ""
    raise UserError(
        f"an exit criterion among {', '.join(criterion_names())}",
        f"{path if name is None else name!r}",
        f"If you trust the code that defines it, add --trust {module or 'MODULE'}.",
    )


def _name_of(class_path: str) -> str | None:
    """Return the name of a known class; a class of this package may have moved since, so its last part counts."""
    package, _, last = class_path.rpartition(".")
    for name, kind in _registered.items():
        ours = kind in BUILT_IN and kind.__qualname__ == last and f"{package}.".startswith("acl_lightning.exits.")
        if ours or _path(kind) == class_path:
            return name
    return None


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
