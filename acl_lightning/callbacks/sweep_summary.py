"""The exit sweep in plain JSON types, for result.json, the closing table and a CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from acl_lightning.callbacks.validation_record import Columns
from acl_lightning.exits import (
    Criterion,
    OperatingPoint,
    Static,
    area_under_curve,
    as_curve,
    exit_index,
    full_depth,
    mean_layer_by_grade,
    spearman,
)
from acl_lightning.outputs import predictions


class SweptModule(Protocol):
    """What the sweep asks of a LightningModule.

    Attributes:
        exit_layers: layer of each exit, counted from 1, ascending.
        depth: number of layers of the backbone.
        metric_names: the task's metrics, the primary one first.
        task_name: for titles.
    """

    @property
    def exit_layers(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def depth(self) -> int: ...  # noqa: D102

    metric_names: list[str]
    task_name: str

    def exit_flops(self, num_tokens: int) -> tuple[float, ...]:
        """FLOPs of a sample of `num_tokens` that leaves at each exit by a criterion."""

    def static_exit_flops(self, num_tokens: int) -> tuple[float, ...]:
        """FLOPs of a sample of `num_tokens` that leaves at each exit as a static exit."""

    def full_depth_flops(self, num_tokens: int) -> float:
        """FLOPs of the plain model with one head."""

    def quality(self, name: str, predictions_n: Tensor, labels_n: Tensor) -> float:
        """Metric `name`, a fraction, of these samples alone; never synchronised over processes."""


def mean_tokens(columns: Columns) -> float:
    """Mean number of tokens per sample."""
    return columns["num_tokens"].double().mean().item()


def summarise(
    columns: Columns,
    points: Sequence[OperatingPoint],
    module: SweptModule,
) -> dict[str, Any]:
    """Everything a reader of the run asks about its exits, measured on the report half unless it says `selection`.

    Keys: `metric` (the primary one), `metric_names`, `exit_layers`, `depth`, `samples` (n of both halves),
    `mean_num_tokens`, `full_depth` (metric -> value of the deepest exit), `per_exit` (a list of `layer` and the metrics
    were everybody to leave there), `area_under_curve` (criterion -> area of its curve and full depth; of a family the
    curve is its front on the selection half), `leaves_early` (whether any sample does at any threshold of a criterion
    other than static).
    """
    report_B = ~columns["selection"].bool()
    labels_B = columns["labels"][report_B]
    per_exit = []
    for layer, logits_BC in zip(module.exit_layers, columns["logits_BEC"][report_B].unbind(1), strict=True):
        predictions_B = predictions(logits_BC)
        values = {name: module.quality(name, predictions_B, labels_B) for name in module.metric_names}
        per_exit.append({"layer": layer, **values})
    swept = dict.fromkeys(point.criterion for point in points)
    full = full_depth(points)
    return {
        "metric": module.metric_names[0],
        "metric_names": list(module.metric_names),
        "exit_layers": list(module.exit_layers),
        "depth": module.depth,
        "samples": {"selection": int((~report_B).sum()), "report": int(report_B.sum())},
        "mean_num_tokens": mean_tokens(columns),
        "full_depth": {name: per_exit[-1][name] for name in module.metric_names},
        "per_exit": per_exit,
        "area_under_curve": {
            name: area_under_curve([*as_curve([point for point in points if point.criterion == name]), full])
            for name in swept
        },
        "leaves_early": any(point.leaves_early for point in points if point.criterion != Static.name),
    }


def sweep_scalars(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the scalars of a summary for loggers and callback metrics, so that a study can optimise them.

    All are measured on the report half:

    - `exit/area/CRITERION`: area under the quality-speed curve of each criterion;
    - `exit/area`: the area of the criterion of the highlighted operating point, which the selection half chose;
    - `exit/POINT/quality`, `exit/POINT/layer_speedup`, `exit/POINT/flops_speedup` of each operating point.
    """
    areas = summary["area_under_curve"]
    points = summary["recommended"]
    highlighted = points[summary["highlighted"]]["criterion"]
    measures = ("quality", "layer_speedup", "flops_speedup")
    return {
        **{f"exit/area/{name}": area for name, area in areas.items()},
        "exit/area": areas[highlighted],
        **{f"exit/{name}/{measure}": point[measure] for name, point in points.items() for measure in measures},
    }


def difficulty_summary(
    columns: Columns, criterion: Criterion, threshold: float, exit_layers: Sequence[int]
) -> dict[str, Any] | None:
    """Whether harder samples of the report half leave later at this operating point; None where difficulty is unknown.

    Keys: `spearman` (rank correlation of exit layer and difficulty; None where one of them is constant) and
    `mean_exit_layer` (grade -> layer, the grade as text as JSON wants it).
    """
    if "difficulty" not in columns:
        return None
    report_B = ~columns["selection"].bool()
    gates_EB = columns["gates_BE"][report_B].T if "gates_BE" in columns else None
    certainty_EB = criterion.certainty(criterion.evidence(columns["logits_BEC"][report_B].transpose(0, 1), gates_EB))
    exits_B = exit_index(certainty_EB, certainty_EB.new_tensor([threshold]))[0]
    layers_B = exits_B.new_tensor(list(exit_layers))[exits_B]
    difficulty_B = columns["difficulty"][report_B]
    by_grade = mean_layer_by_grade(layers_B, difficulty_B)
    return {
        "spearman": spearman(layers_B, difficulty_B),
        "mean_exit_layer": {str(grade): layer for grade, layer in by_grade.items()},
    }


def table_rows(points: Sequence[OperatingPoint], exit_layers: Sequence[int]) -> tuple[list[str], list[list[Any]]]:
    """Column names, and one row per criterion, setting and threshold: the content of `exit_sweep.csv`."""
    names = ["criterion", "threshold", "settings_text", "quality", "quality_selection", "mean_exit_layer"]
    names += ["layer_speedup", "layer_saving", "flops_speedup"]
    header = [*(name.removesuffix("_text") for name in names), *(f"share_exit_{layer}" for layer in exit_layers)]
    return header, [[*(getattr(point, name) for name in names), *point.shares_E] for point in points]


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Header and rows as CSV; numbers keep their full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
