"""What `GradientProbe` left in a run's directory, as a study reads it."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acl_lightning.studies.run_record import Run, UnfinishedRun

FILE_NAME = "gradient_probe.csv"

#: Name of the file in runs of earlier versions.
EARLIER_NAME = "gradient_watch.csv"

#: The scope that the others are held against.
WHOLE = "AllParameters"

#: The scope with a decision per layer.
PER_LAYER = "PerLayer"


@dataclass(frozen=True)
class Comparison:
    """A line of `gradient_probe.csv`.

    Attributes:
        step: training batches before this one.
        group: within the scope; empty where the scope is one group.
        cosine: between the gradients of the protected and the watched term; NaN where one is not finite.
        angle: in degrees; NaN likewise.
    """

    step: int
    group: str
    cosine: float
    angle: float

    @property
    def conflict(self) -> bool:
        """Whether a rule would discard the watched term here."""
        return not self.cosine >= 0


@dataclass(frozen=True)
class Watch:
    """A run's comparisons.

    Attributes:
        comparisons: term -> scope -> comparisons, in the order of the file.
    """

    comparisons: dict[str, dict[str, tuple[Comparison, ...]]]

    def overall(self, term: str) -> tuple[Comparison, ...]:
        """The comparisons over all parameters, one per recorded step."""
        return self.comparisons[term][WHOLE]


def read_watch(directory: Path, run: Run) -> Watch | UnfinishedRun:
    """Read what was watched in a finished run, or say why there is nothing to read."""
    found: defaultdict[str, defaultdict[str, list[Comparison]]] = defaultdict(lambda: defaultdict(list))
    path = directory / FILE_NAME
    if not path.exists() and (directory / EARLIER_NAME).exists():
        path = directory / EARLIER_NAME
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                cosine, angle = (float(row[name] or math.nan) for name in ("cosine", "angle"))
                found[row["term"]][row["scope"]].append(Comparison(int(row["step"]), row["group"], cosine, angle))
    except FileNotFoundError:
        return UnfinishedRun(run.name, "missing", f"no {FILE_NAME}")
    except (OSError, KeyError, ValueError, TypeError) as error:
        return UnfinishedRun(run.name, "missing", f"a damaged {FILE_NAME} ({type(error).__name__}: {error})")
    if not found or any(WHOLE not in scopes for scopes in found.values()):
        return UnfinishedRun(run.name, "missing", f"{FILE_NAME} has no comparison over {WHOLE}")
    return Watch({term: {scope: tuple(rows) for scope, rows in scopes.items()} for term, scopes in found.items()})


def conflict_rate(comparisons: Sequence[Comparison]) -> float:
    """Share of the comparisons that conflict."""
    return sum(one.conflict for one in comparisons) / len(comparisons)


def agreement(comparisons: Sequence[Comparison], overall: Sequence[Comparison]) -> float:
    """Share of the comparisons that decide as the comparison over all parameters of the same step does."""
    decided = {one.step: one.conflict for one in overall}
    return sum(one.conflict == decided[one.step] for one in comparisons) / len(comparisons)
