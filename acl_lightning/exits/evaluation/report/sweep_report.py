"""Report of an exit sweep, and its JSON form in `result.json`. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.operating_point import OperatingPoint
from acl_lightning.exits.evaluation.report.parts import (
    Baseline,
    Bin,
    CrossFitted,
    Difficulty,
    EnsembleExit,
    ExitCalibration,
    ExitQuality,
    SplitSizes,
)
from acl_lightning.exits.evaluation.report.recommended_point import (
    RecommendedPoint,
    number,
    plain,
    point_from_json,
    point_to_json,
)
from acl_lightning.legacy import present_point, present_points


@dataclass(frozen=True, kw_only=True)
class SweepReport:
    """All results of an exit sweep. Measured on the report split, except fields with `selection` in their name.

    `acl_lightning.exits.evaluate` computes it; `result.json` stores it.

    Attributes:
        metric_names: The task's metrics, the primary metric first.
        exit_layers: Layer of each exit, counted from 1, ascending.
        depth: Number of layers of the backbone.
        samples: Number of samples of both splits.
        mean_num_tokens: Mean number of tokens per sample, of both splits.
        per_exit: Quality of each exit if all samples leave there; the last exit is full depth.
        area_under_curve: Criterion name -> area under its quality-speed curve.
        leaves_early: Whether any sample leaves early at any threshold of a criterion other than `static`.
        recommended: Budget name -> operating point, in the order of the budgets.
        baseline: The best constant answer; None in results of earlier versions.
        highlighted: Name of the operating point that figures and tables show exit by exit; None if no budget is kept.
        difficulty: Difficulty and exit layer; None where difficulty is unknown.
        unreachable: Budgets that no operating point keeps on the selection split, by name.
        calibration: Calibration of each exit; None for a regression and where logits are not finite.
        calibrated: Whether the criteria read logits divided by the fitted temperatures.
        ensemble: Weights and quality of the ensemble at each exit; None where the criteria read single exits.
        exit_histogram: Kind of group (`class`, `difficulty`) -> group -> share of its samples leaving at each exit.
        group_counts: Kind of group -> group -> number of samples.
        label_names: Names of the classes; empty for a regression and where they are unknown.
        num_classes: Number of classes, 1 for a regression; None in results of earlier versions.
        resamples: Number of bootstrap resamples; None in results of earlier versions.
        cross_fitted: Budget name -> result over both turns; None where this was not asked for.
        points: All points of the sweep, static exits first. They are stored in `exit_sweep.csv`, not in the JSON, so a
            report that was read from JSON has none. Reports are compared without them.
    """

    metric_names: tuple[str, ...]
    exit_layers: tuple[int, ...]
    depth: int
    samples: SplitSizes
    per_exit: tuple[ExitQuality, ...]
    recommended: Mapping[str, RecommendedPoint]
    highlighted: str | None
    mean_num_tokens: float = 0.0
    area_under_curve: Mapping[str, float] = field(default_factory=dict)
    leaves_early: bool = True
    baseline: Baseline | None = None
    difficulty: Difficulty | None = None
    unreachable: tuple[str, ...] = ()
    calibration: tuple[ExitCalibration, ...] | None = None
    calibrated: bool = False
    ensemble: tuple[EnsembleExit, ...] | None = None
    exit_histogram: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    group_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    num_classes: int | None = None
    resamples: int | None = None
    cross_fitted: Mapping[str, CrossFitted] | None = None
    points: tuple[OperatingPoint, ...] = field(default=(), compare=False, repr=False)

    @property
    def metric(self) -> str:
        """Name of the primary metric."""
        return self.metric_names[0]

    @property
    def full_depth(self) -> Mapping[str, float]:
        """Metric name -> value of the deepest exit."""
        return self.per_exit[-1].metrics

    @property
    def temperatures_E(self) -> tuple[float, ...] | None:
        """Temperature of each exit where the criteria read calibrated logits; None otherwise."""
        if not self.calibrated or self.calibration is None:
            return None
        return tuple(exit_.temperature for exit_ in self.calibration)

    def to_json(self) -> dict[str, Any]:
        """Return the report in plain JSON types, as `result.json` stores it; None for numbers that are not finite."""
        content: dict[str, Any] = {
            "metric": self.metric,
            "metric_names": self.metric_names,
            "exit_layers": self.exit_layers,
            "depth": self.depth,
            "samples": asdict(self.samples),
            "mean_num_tokens": self.mean_num_tokens,
            "full_depth": self.full_depth,
            "per_exit": [{"layer": exit_.layer, **exit_.metrics} for exit_ in self.per_exit],
            "area_under_curve": self.area_under_curve,
            "leaves_early": self.leaves_early,
            "recommended": {name: point_to_json(point) for name, point in self.recommended.items()},
            "baseline": None if self.baseline is None else asdict(self.baseline),
            "highlighted": self.highlighted,
            "difficulty": None if self.difficulty is None else asdict(self.difficulty),
            "unreachable": self.unreachable,
            "calibration": None if self.calibration is None else [asdict(exit_) for exit_ in self.calibration],
            "calibrated": self.calibrated,
            "exit_histogram": self.exit_histogram,
            "group_counts": self.group_counts,
            "label_names": self.label_names,
            "num_classes": self.num_classes,
            "resamples": self.resamples,
        }
        if self.ensemble is not None:
            content["ensemble"] = [asdict(exit_) for exit_ in self.ensemble]
        if self.cross_fitted is not None:
            content["cross_fitted"] = {
                name: {
                    "quality": result.quality,
                    "loss_points": result.drop_points,
                    "layer_speedup": result.layer_speedup,
                    "flops_speedup": result.flops_speedup,
                    "chosen": result.selected,
                }
                for name, result in self.cross_fitted.items()
            }
        return plain(content)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SweepReport:
        """Read a report from the content of `result.json`, of this version or an earlier version.

        Keys that do not belong to the sweep are ignored. Operating points get their present names (`drop1` for
        `loss1`).

        Raises:
            UserError: A required entry is missing or damaged.
        """
        try:
            return _read(content)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = f"no entry {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
            remedy = "Validate the run again with this version."
            raise UserError("the results of an exit sweep in result.json", reason, remedy) from error


def _read(content: Mapping[str, Any]) -> SweepReport:
    names = tuple(map(str, content.get("metric_names") or (content["metric"],)))
    baseline, difficulty, calibration = (content.get(name) for name in ("baseline", "difficulty", "calibration"))
    cross_fitted, highlighted = content.get("cross_fitted"), content.get("highlighted")
    return SweepReport(
        metric_names=names,
        exit_layers=tuple(map(int, content["exit_layers"])),
        depth=int(content["depth"]),
        samples=SplitSizes(**content["samples"]),
        mean_num_tokens=number(content.get("mean_num_tokens")),
        per_exit=tuple(
            ExitQuality(int(row["layer"]), {name: number(row[name]) for name in names}) for row in content["per_exit"]
        ),
        area_under_curve={name: number(area) for name, area in (content.get("area_under_curve") or {}).items()},
        leaves_early=bool(content.get("leaves_early", True)),
        recommended={name: point_from_json(point) for name, point in present_points(content["recommended"]).items()},
        baseline=None if baseline is None else _read_baseline(baseline),
        highlighted=None if highlighted is None else present_point(highlighted),
        difficulty=None if difficulty is None else _read_difficulty(difficulty),
        unreachable=tuple(map(present_point, content.get("unreachable") or ())),
        calibration=None if calibration is None else tuple(map(_read_calibration, calibration)),
        calibrated=bool(content.get("calibrated")),
        ensemble=None if content.get("ensemble") is None else tuple(map(_read_ensemble, content["ensemble"])),
        exit_histogram={
            kind: {group: tuple(map(float, shares)) for group, shares in groups.items()}
            for kind, groups in (content.get("exit_histogram") or {}).items()
        },
        group_counts={kind: dict(counts) for kind, counts in (content.get("group_counts") or {}).items()},
        label_names=tuple(content.get("label_names") or ()),
        num_classes=content.get("num_classes"),
        resamples=content.get("resamples"),
        cross_fitted=None if cross_fitted is None else _read_cross_fitted(cross_fitted),
    )


def _read_baseline(content: Mapping[str, Any]) -> Baseline:
    weak = tuple(map(int, content["exits_not_better"]))
    return Baseline(content["label"], bool(content["is_majority"]), number(content["quality"]), weak)


def _read_difficulty(content: Mapping[str, Any]) -> Difficulty:
    by_grade = {int(grade): float(layer) for grade, layer in content["mean_exit_layer"].items()}
    return Difficulty(content["spearman"], by_grade)


def _read_calibration(content: Mapping[str, Any]) -> ExitCalibration:
    return ExitCalibration(
        layer=int(content["layer"]),
        temperature=float(content["temperature"]),
        error=float(content["error"]),
        error_calibrated=float(content["error_calibrated"]),
        bins=tuple(Bin(**bin_) for bin_ in content["bins"]),
        bins_calibrated=tuple(Bin(**bin_) for bin_ in content["bins_calibrated"]),
    )


def _read_ensemble(content: Mapping[str, Any]) -> EnsembleExit:
    weights = tuple(map(float, content["weights"]))
    return EnsembleExit(int(content["layer"]), weights, number(content["quality_alone"]), number(content["quality"]))


def _read_cross_fitted(content: Mapping[str, Any]) -> dict[str, CrossFitted]:
    results = {}
    for name, stored in content.items():
        first, second = ((str(criterion), float(threshold)) for criterion, threshold in stored["chosen"])
        results[present_point(name)] = CrossFitted(
            quality=number(stored["quality"]),
            drop_points=number(stored["loss_points"]),
            layer_speedup=number(stored["layer_speedup"]),
            flops_speedup=number(stored["flops_speedup"]),
            selected=(first, second),
        )
    return results
