"""Agreement of a package with torch on the validation rows of its run."""

from __future__ import annotations

from typing import Any

from acl_lightning.exits import Criterion, ExitRecord, SweepReport
from acl_lightning.metrics import quality
from acl_lightning.outputs import predictions

#: A sample whose certainties differ by less than this on either side of a threshold left elsewhere by rounding.
TIE = 1e-4

#: Record of exits, and the criterion and threshold by which its samples leave.
Decided = tuple[ExitRecord, Criterion, float]


def compare_with_torch(stored: ExitRecord, record: ExitRecord, result: SweepReport) -> dict[str, Any]:
    """Compare the logits of torch and of a package: values, predictions of each exit, and exits at the run's points.

    Args:
        stored: Record of the run, measured with torch.
        record: The same rows with the logits of the package.
        result: Sweep of the run.

    Returns:
        The comparison in plain JSON types, for a manifest.
    """
    same_EB = predictions(stored.logits_EBC) == predictions(record.logits_EBC)
    points = {}
    for name, point in result.recommended.items():
        if point.exit is None:
            continue
        criterion, threshold = point.criterion(), point.threshold
        differs_B = stored.leaving(criterion, threshold) != record.leaving(criterion, threshold)
        certainty_2EB = [each.certainty(criterion) for each in (stored, record)]
        near_EB = (certainty_2EB[0] - threshold).abs().minimum((certainty_2EB[1] - threshold).abs()) < TIE
        points[name] = {"other_exit": int(differs_B.sum()), "ties": int((differs_B & near_EB.any(dim=0)).sum())}
    return {
        "samples": len(stored.labels_B),
        "largest_logit_difference": float((stored.logits_EBC - record.logits_EBC).abs().max()),
        "same_prediction_by_exit": same_EB.double().mean(dim=1).tolist(),
        "at_points_of_the_run": points,
    }


def compare_quality(metric: str, before: Decided, after: Decided) -> dict[str, float]:
    """Return the quality of torch and of a package at an operating point on all rows, and the drop in points.

    Each has its own criterion and threshold: those of a package are selected on its own logits.

    Args:
        metric: Name of the quality measure.
        before: Record measured with torch, criterion and threshold of the run.
        after: Record of the package, criterion and threshold of the package.
    """
    values = []
    for record, criterion, threshold in (before, after):
        exit_B = record.leaving(criterion, threshold)
        answers_B = predictions(criterion.answers(record.logits_EBC)).gather(0, exit_B[None])[0]
        values.append(quality(metric, answers_B, record.labels_B))
    return {"torch": values[0], "package": values[1], "drop_points": 100 * (values[0] - values[1])}
