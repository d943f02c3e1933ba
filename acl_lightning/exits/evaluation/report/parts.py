"""Records that a sweep report consists of. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ExitQuality:
    """Quality of one exit on the report split if all samples leave there.

    Attributes:
        layer: Layer of the exit, counted from 1.
        metrics: Metric name -> value, a fraction; the primary metric first.
    """

    layer: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Baseline:
    """A predictor that gives every sample the same answer.

    Attributes:
        label: The class; None for a regression, whose constant is the mean of the labels.
        is_majority: Whether the class is the most frequent class. With accuracy it always is; with F1, which is that of
            class 1, the best constant may be a rarer class.
        quality: The metric of the constant answer, a fraction.
        exits_not_better: Layers of the exits whose 95 % interval of the lead over the constant answer does not lie
            above 0.
    """

    label: int | None
    is_majority: bool
    quality: float
    exits_not_better: tuple[int, ...] = ()


@dataclass(frozen=True)
class SplitSizes:
    """Number of samples that select and of those that are reported, and the protocol that divides them.

    Attributes:
        selection: Samples that select thresholds.
        report: Samples that all reported numbers are measured on.
        selection_from: Split that the selection samples are taken from. `validation`: both are disjoint parts of the
            validation split. `train`: they are training rows that were not trained on, and the report split is the
            whole validation split.
    """

    selection: int
    report: int
    selection_from: str = "validation"

    @property
    def report_name(self) -> str:
        """Name of the split that is reported, for titles: the report split may be the whole validation split."""
        return "whole validation split" if self.selection_from == "train" else "report split"

    @property
    def report_text(self) -> str:
        """Name and size of the split that is reported, for titles."""
        source = "" if self.selection_from == "train" else " of the validation data"
        return f"{self.report_name}{source}, n = {self.report}"

    @property
    def selection_text(self) -> str:
        """The size of the selection split in words, for titles."""
        source = " training rows that were not trained on" if self.selection_from == "train" else ""
        return f"n = {self.selection}{source}"


@dataclass(frozen=True)
class Difficulty:
    """Relation of difficulty grade and exit layer at the highlighted operating point.

    Attributes:
        spearman: Rank correlation of exit layer and difficulty; None where one of the two is constant.
        mean_exit_layer: Difficulty grade -> mean exit layer, grades ascending.
    """

    spearman: float | None
    mean_exit_layer: Mapping[int, float]


@dataclass(frozen=True)
class Bin:
    """Samples of similar confidence.

    Attributes:
        count: Number of samples.
        confidence: Mean probability of the predicted class; NaN without samples.
        accuracy: Share of correct predictions; NaN without samples.
    """

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ExitCalibration:
    """Calibration of one exit.

    Attributes:
        layer: Layer of the exit, counted from 1.
        temperature: Temperature fitted on the selection split.
        error: Expected calibration error (15 bins) on the report split, without the temperature.
        error_calibrated: Expected calibration error with the temperature.
        bins: Bins of the reliability diagram that hold samples, without the temperature.
        bins_calibrated: Bins with the temperature.
    """

    layer: int
    temperature: float
    error: float
    error_calibrated: float
    bins: tuple[Bin, ...]
    bins_calibrated: tuple[Bin, ...]


@dataclass(frozen=True)
class EnsembleExit:
    """Ensemble of the exits up to one exit.

    Attributes:
        layer: Layer of the exit, counted from 1.
        weights: Weights of this and the earlier exits in its answer, from the first exit on; their sum is 1.
        quality_alone: The metric of the exit alone on the report split, a fraction.
        quality: The metric of the ensemble.
    """

    layer: int
    weights: tuple[float, ...]
    quality_alone: float
    quality: float


@dataclass(frozen=True)
class CrossFitted:
    """Result of a budget averaged over two turns, in which the splits exchange their roles.

    Every sample is reported once, by a point that it took no part in choosing. So the numbers rest on all validation
    samples. They describe the procedure, not one threshold: the two turns may choose differently.

    Attributes:
        quality: Mean of the metric, a fraction.
        drop_points: Mean of the drops against full depth, in hundredths.
        layer_speedup: Mean of depth / mean exit layer.
        flops_speedup: Mean of FLOPs of full depth / mean FLOPs.
        selected: Criterion name and threshold of each turn.
    """

    quality: float
    drop_points: float
    layer_speedup: float
    flops_speedup: float
    selected: tuple[tuple[str, float], tuple[str, float]]
