"""`table.yaml`: rows, columns, measures, baseline and tuning of the tables of a study."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from acl_lightning.errors import UserError
from acl_lightning.studies.entries import any_mapping, flag, listed, mapping, number, refuse, text, texts
from acl_lightning.studies.grouping import readable

#: Parameter whose values are the methods: one or several configuration files.
CONFIG = "config"

#: Name of the condition of a trial among its parameters.
CONDITION = "condition"

#: Names of the measures that have no number in their name.
MEASURES = ("last_exit", "exits", "mean_exits", "area", "speed2", "flops2", "measured2")

#: Speed-ups of curves.
SPEEDS = ("layer_speedup", "flops_speedup")

#: Keys of a row that are not parameters: several settings of a method, and the criterion of its measures.
VARIANTS, CRITERION = "variants", "criterion"


@dataclass(frozen=True)
class TableRow:
    """A method.

    Attributes:
        label: Name of the method.
        variants: Parameter -> value that a trial must have; several where the method is tuned over variants.
        criterion: Exit criterion of its measures, for example `ensemble_entropy`; None: that of the table.
    """

    label: str
    variants: tuple[Mapping[str, object], ...]
    criterion: str | None = None

    def matches(self, parameters: Mapping[str, object]) -> bool:
        """Return whether a trial with these parameters belongs to the row."""
        return any(
            all(key in parameters and same(parameters[key], value) for key, value in variant.items())
            for variant in self.variants
        )


@dataclass(frozen=True)
class Tuning:
    """Selection of the settings of each method.

    Attributes:
        by: Measure on the selection split, averaged over seeds, of which the highest is selected.
        parameters: Parameters whose values are compared.
    """

    by: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSpecification:
    """Content of `table.yaml`.

    Attributes:
        rows: Methods in the order of the table; empty for one row per value of `config`.
        columns: Parameters; each combination of their values is a column. Empty: one column. With conditions the last
            is `condition`.
        conditions: Heading -> configuration files in `config` beside those of a row. Each is a column.
        measures: Name -> heading. `exits` stands for every exit.
        baseline: Label of the row that the others are compared with; None for no comparisons.
        tune: Selection of settings; None where each method has one setting.
        labels: Parameter -> value as text -> heading of a column.
        criterion: Exit criterion of `area` and of quality at a speed-up; None: entropy, and patience for a regression.
        curve_criteria: Exit criteria that the report compares for every method; empty for none.
        curve_speeds: Speed-ups over which the report draws the curves, of `SPEEDS`.
        average: Whether to add the mean over the columns, for seeds that all columns have.
        title: Title of the tables.
        level: Level alpha of the tests and 1 - coverage of the intervals.
        resamples: Number of bootstrap resamples.
    """

    rows: tuple[TableRow, ...] = ()
    columns: tuple[str, ...] = ()
    conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    measures: Mapping[str, str] = field(default_factory=lambda: {"last_exit": "last exit"})
    baseline: str | None = None
    tune: Tuning | None = None
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    criterion: str | None = None
    curve_criteria: tuple[str, ...] = ()
    curve_speeds: tuple[str, ...] = SPEEDS[:1]
    average: bool = False
    title: str = ""
    level: float = 0.05
    resamples: int = 2000

    @classmethod
    def read(cls, path: Path) -> TableSpecification:
        """Read `table.yaml`.

        Raises:
            UserError: There is no such file, it is not YAML, or an entry is unknown or has a wrong type.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            example = "measures: [last_exit]"
            raise UserError(f"{path}", "no such file", f"Create it, for example with `{example}`.") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"YAML in {path}", reason, "Correct the line that the message names.") from error
        return cls.from_yaml(content or {}, str(path))

    @classmethod
    def from_yaml(cls, content: object, place: str = "table.yaml") -> TableSpecification:
        """Return the specification with this content.

        Args:
            content: Content of the file.
            place: Name of the file, for messages.

        Raises:
            UserError: An entry is unknown or has a wrong type.
        """
        entries = mapping(content, place, "the file")
        check_names(entries, [item.name for item in fields(cls)], f"keys of {place}")
        rows = tuple(
            TableRow(label, _variants(value, place), _row_criterion(value, place))
            for label, value in mapping(entries.get("rows"), place, "rows").items()
        )
        labels = mapping(entries.get("labels"), place, "labels")
        conditions = {
            heading: texts(files, place, f"the condition {heading}")
            for heading, files in mapping(entries.get("conditions"), place, "conditions").items()
        }
        columns = texts(entries.get("columns"), place, "columns")
        specification = cls(
            rows=rows,
            columns=(*columns, CONDITION) if conditions else columns,
            conditions=conditions,
            measures=_measures(entries.get("measures"), place),
            baseline=text(entries.get("baseline"), place, "baseline"),
            tune=_tuning(entries.get("tune"), place),
            labels={
                parameter: {str(value): str(label) for value, label in any_mapping(names, place, "labels").items()}
                for parameter, names in labels.items()
            },
            criterion=text(entries.get("criterion"), place, "criterion"),
            curve_criteria=texts(entries.get("curve_criteria"), place, "curve_criteria"),
            curve_speeds=texts(entries.get("curve_speeds"), place, "curve_speeds") or SPEEDS[:1],
            average=flag(entries.get("average", False), place, "average"),
            title=text(entries.get("title"), place, "title") or "",
            level=number(entries.get("level", 0.05), place, "level", 0.0, 0.5),
            resamples=int(number(entries.get("resamples", 2000), place, "resamples", 99, 1_000_000)),
        )
        check_names(specification.curve_speeds, SPEEDS, f"curve_speeds of {place}")
        if specification.baseline is not None and rows:
            check_names(
                [specification.baseline], [row.label for row in rows], f"the baseline of {place} among its rows"
            )
        if any(len(row.variants) > 1 for row in rows) and specification.tune is None:
            refuse(place, "tune for rows with variants", "none", "Set tune: {by: mean_exits}")
        return specification

    def heading(self, parameter: str, value: object) -> str:
        """Return the heading of a value of a column parameter."""
        name = "all" if value is None else str(value)
        return self.labels.get(parameter, {}).get(name, name)


def same(first: object, second: object) -> bool:
    """Return whether two values of a parameter are equal; a list of one item equals the item."""
    return listed(first) == listed(second)


def check_names(names: Collection[str], known: Sequence[str], expected: str) -> None:
    """Raise `UserError` with the nearest known name for the first name that is unknown.

    Args:
        names: Names to check.
        known: Names that are allowed.
        expected: Description of the names, for the message.
    """
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"Did you mean {close[0]}?" if close else f"Use one of {', '.join(known)}."
            raise UserError(f"{expected}: {', '.join(known)}", repr(name), hint)


def config_label(value: object) -> str:
    """Return the name of a method from its configuration files.

    >>> config_label(["objective/acl_cl.yaml", "objective/tau01.yaml"])
    'ACL-CL, tau01'
    """
    stems = [str(file).rpartition("/")[2].partition(".")[0] for file in listed(value)]
    return ", ".join(readable(stem) for stem in stems)


def heading_of(measure: str) -> str:
    """Return the name of a measure in words.

    >>> heading_of("speed2")
    'quality at 2x layer speed-up'
    """
    for prefix, speed in (("speed", "layer"), ("flops", "FLOPs"), ("measured", "measured")):
        if measure.startswith(prefix) and measure[len(prefix) :].replace(".", "", 1).isdigit():
            return f"quality at {measure[len(prefix) :]}x {speed} speed-up"
    return {"mean_exits": "mean over exits", "exits": "every exit", "area": "area under the curve"}.get(
        measure, measure.replace("_", " ")
    )


def _variants(value: object, place: str) -> tuple[Mapping[str, object], ...]:
    if isinstance(value, Mapping) and CRITERION in value:
        value = {key: item for key, item in value.items() if key != CRITERION}
    if isinstance(value, Mapping) and VARIANTS in value:
        variants = value[VARIANTS]
        if set(value) != {VARIANTS} or not isinstance(variants, list) or not variants:
            refuse(place, f"a row with {VARIANTS}: [...]", repr(value), f"Set {VARIANTS}: [FILE, [FILE, FILE]]")
        return tuple(variant for item in variants for variant in _variants(item, place))
    if isinstance(value, Mapping):
        return ({str(key): item for key, item in value.items()},)
    if isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(item, str) for item in value)):
        return ({CONFIG: value},)
    return refuse(place, "rows with configuration files or parameters", repr(value), "Set CE: objective/ce.yaml")


def _row_criterion(value: object, place: str) -> str | None:
    return text(value.get(CRITERION), place, "criterion of a row") if isinstance(value, Mapping) else None


def _measures(value: object, place: str) -> dict[str, str]:
    if value is None:
        return {"last_exit": "last exit"}
    if isinstance(value, Mapping):
        return {str(name): str(heading) for name, heading in value.items()}
    names = texts(value, place, "measures")
    if not names:
        refuse(place, "a measure", "none", "Set measures: [last_exit]")
    return {name: heading_of(name) for name in names}


def _tuning(value: object, place: str) -> Tuning | None:
    if value is None:
        return None
    entries = mapping(value, place, "tune")
    check_names(entries, ["by", "parameters"], f"keys of tune in {place}")
    by = text(entries.get("by"), place, "tune.by")
    if by is None:
        refuse(place, "tune.by, a measure on the selection split", "none", "Set tune: {by: mean_exits}")
    return Tuning(by, texts(entries.get("parameters"), place, "tune.parameters"))
