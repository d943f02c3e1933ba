"""Measured time of each exit, as the command `latency` writes it and budgets of measured time read it."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.operating_point import OperatingPoint


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds per sample that leaves at each exit, measured on one machine in one mode.

    Attributes:
        path: File that the times come from, for messages.
        layers_E: Layer of each exit, counted from 1, ascending.
        milliseconds_E: Time of a sample that leaves there by a criterion, with every exit before it evaluated.
        static_milliseconds_E: Time of a sample that leaves there as a static exit, with no other exit evaluated.
        plain_milliseconds: Time of a sample through the plain model; None where the table does not state it.
    """

    path: str
    layers_E: tuple[int, ...]
    milliseconds_E: tuple[float, ...]
    static_milliseconds_E: tuple[float, ...]
    plain_milliseconds: float | None = None

    @classmethod
    def read(cls, path: str) -> LatencyTable:
        """Read a CSV with a row per exit.

        The columns `exit_layer` and `milliseconds` are required. `static_milliseconds` is optional; without it
        static exits have the times `milliseconds`; `plain_milliseconds` likewise. Other columns are ignored; of several
        rows of a layer the first is taken.

        Raises:
            UserError: The table cannot be read, or a time is not positive.
        """
        try:
            with Path(path).expanduser().open(encoding="utf-8", newline="") as lines:
                rows: dict[int, dict[str, str]] = {}
                for row in csv.DictReader(lines):
                    rows.setdefault(int(row["exit_layer"]), row)
            layers = sorted(rows)
            times = [float(rows[layer]["milliseconds"]) for layer in layers]
            static = [float(rows[layer].get("static_milliseconds") or rows[layer]["milliseconds"]) for layer in layers]
            plain = [float(text) for row in rows.values() if (text := row.get("plain_milliseconds"))]
        except (OSError, KeyError, ValueError, TypeError) as error:
            remedy = "Give RUN/exit_latency.csv, which `python -m acl_lightning latency RUN` writes."
            raise UserError(f"columns exit_layer and milliseconds in {path}", f"{error!r}", remedy) from error
        wrong = [time for time in (*times, *static, *plain) if not 0 < time < math.inf]
        if wrong or not layers:
            reason = f"{wrong[0]:g}" if wrong else "no rows"
            raise UserError(f"positive times in {path}", reason, "Measure the latency of this model again.")
        return cls(path, tuple(layers), tuple(times), tuple(static), plain[0] if plain else None)

    def check_exits(self, exit_layers: Sequence[int]) -> None:
        """Check that the table belongs to a model with these exits.

        Args:
            exit_layers: Layer of each exit, counted from 1.

        Raises:
            UserError: The table has other layers.
        """
        if tuple(exit_layers) != self.layers_E:
            raise UserError(
                f"times of the exits after layers {_listed(exit_layers)} in {self.path}",
                f"layers {_listed(self.layers_E)}",
                "Measure this model: python -m acl_lightning latency RUN.",
            )

    def milliseconds(self, point: OperatingPoint, *, selection: bool = True) -> float:
        """Return the mean time of a sample at an operating point, `sum_e share_e * milliseconds_e`.

        Args:
            point: The operating point.
            selection: Whether to use the shares of the selection split, else those of the report split.

        Raises:
            UserError: The table has another number of exits.
        """
        shares_E = point.shares_selection_E if selection else point.shares_E
        if len(shares_E) != len(self.layers_E):
            raise UserError(
                f"times of {len(shares_E)} exits in {self.path}",
                f"{len(self.layers_E)}",
                "Measure the latency of this model.",
            )
        times_E = self.static_milliseconds_E if point.is_static else self.milliseconds_E
        return sum(share * time for share, time in zip(shares_E, times_E, strict=True))


def _listed(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))
