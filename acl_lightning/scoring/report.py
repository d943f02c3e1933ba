"""Report of `score`: whether the scored rows resemble the validation rows, and the measured quality."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acl_lightning.errors import UserError
from acl_lightning.scoring.drift import DriftTest, confidence_drift, exit_drift, stability_index
from acl_lightning.scoring.quality import measured_quality
from acl_lightning.scoring.tally import BINS, Tally
from acl_lightning.serving.manifest import Manifest, ServedPoint

#: Version of the JSON form.
SCHEMA_VERSION = 1

#: Largest probability that a drift is reported where there is none.
FALSE_ALARM_RATE = 0.01


@dataclass(frozen=True)
class DriftReport:
    """Comparison of scored rows with the validation rows of a package.

    Attributes:
        drift: Whether exits or confidences differ more than the false-alarm rate allows.
        findings: What was found, in sentences, with numbers.
        content: Everything, in plain JSON types.
    """

    drift: bool
    findings: tuple[str, ...]
    content: Mapping[str, Any]


def check_validation(point: ServedPoint) -> None:
    """Raise `UserError` unless a package holds the validation rows' exits at an operating point."""
    if not point.validation.get("samples"):
        raise UserError(
            f"exits of the validation rows at the operating point {point.name} in the package, for --report",
            "none",
            "Set --operating-point to another point, or export the run again.",
        )


def check_false_alarm_rate(rate: float) -> None:
    """Raise `UserError` unless a rate is between 0 and 1."""
    if not 0 < rate < 1:
        raise UserError("a false-alarm rate between 0 and 1", f"{rate:g}", "Set --false-alarm-rate 0.01.")


def drift_report(
    tally: Tally, manifest: Manifest, point: ServedPoint, false_alarm_rate: float = FALSE_ALARM_RATE
) -> DriftReport:
    """Compare scored rows with the validation rows.

    Exits are compared by a chi-square test, and confidences, for a classification, by a Kolmogorov-Smirnov test. Each
    alarms where its p-value is less than the false-alarm rate divided by the number of tests (Bonferroni). So, if the
    rows are independent draws from the distribution of the validation rows, at most this share of the reports states a
    drift. Rows that depend on each other, such as repeated texts, cause more alarms.

    Args:
        tally: Counts of the scored rows.
        manifest: Manifest of the package.
        point: Operating point at which the rows were scored.
        false_alarm_rate: See above.

    Raises:
        UserError: The package has no record of the validation rows at this point, or the rate is not between 0 and 1.
    """
    check_validation(point)
    check_false_alarm_rate(false_alarm_rate)
    validation = point.validation
    shares_E = np.array(validation["exit_shares"], dtype=np.float64)
    counts = {"exits": ((shares_E * validation["samples"]).round(), tally.exit_counts)}
    if manifest.label_names and len(validation.get("confidence_counts") or ()) == BINS:
        counts["confidence"] = (np.array(validation["confidence_counts"], np.float64), tally.confidence_counts)
    tests = {"exits": exit_drift(*_lists(counts["exits"]))}
    if "confidence" in counts:
        tests["confidence"] = confidence_drift(*_lists(counts["confidence"]))
    level = false_alarm_rate / len(tests)
    layers_E = np.array(manifest.exit_layers, dtype=np.float64)
    scales = {"exits": layers_E, "confidence": (np.arange(BINS) + 0.5) / BINS}
    compared = {name: _compared(test, counts[name], scales[name], level) for name, test in tests.items()}
    quality = measured_quality(tally, str(manifest.content.get("metric") or ""), false_alarm_rate)
    drift = any(entry["alarm"] for entry in compared.values())
    findings = _findings(tally, compared, manifest.content["depth"], drift=drift, rate=false_alarm_rate)
    findings += [] if quality is None else quality.findings(point.measured.get("quality"))
    content = {
        "schema_version": SCHEMA_VERSION,
        "operating_point": point.name,
        "rows": tally.rows,
        "skipped": tally.skipped,
        "undefined": tally.undefined,
        "validation_rows": validation["samples"],
        "false_alarm_rate": false_alarm_rate,
        "drift": drift,
        **compared,
        "quality": None if quality is None else asdict(quality),
        "findings": findings,
    }
    return DriftReport(drift, tuple(findings), content)


def _lists(pair: Sequence[NDArray[Any]]) -> list[list[float]]:
    return [counts.tolist() for counts in pair]


def _compared(
    test: DriftTest, counts: Sequence[NDArray[Any]], scale: NDArray[np.float64], level: float
) -> dict[str, Any]:
    """Describe a test with the histograms and means of both samples."""
    validation, scored = counts
    means = [float(each @ scale / each.sum()) if each.sum() else math.nan for each in counts]
    return {
        "test": test.name,
        "statistic": test.statistic,
        "p_value": test.p_value,
        "alarm": test.p_value < level,
        "stability_index": stability_index(*_lists(counts)) if scored.sum() else None,
        "mean": {"validation": means[0], "scored": means[1] if scored.sum() else None},
        "counts": {"validation": validation.astype(int).tolist(), "scored": scored.astype(int).tolist()},
    }


def _findings(tally: Tally, compared: Mapping[str, Any], depth: int, *, drift: bool, rate: float) -> list[str]:
    """Return what the tests found, in sentences."""
    if not tally.answered:
        return ["No row has an answer, so nothing can be compared."]
    exits, confidence = compared["exits"], compared.get("confidence")
    verdict = "differ from the validation rows" if drift else "do not differ detectably from the validation rows"
    findings = [f"The inputs {verdict} (false-alarm rate {100 * rate:g} %)."]
    before, now = exits["mean"]["validation"], exits["mean"]["scored"]
    change = _direction(before, now, "deeper than", "earlier than", "distributed otherwise than")
    numbers = f"mean exit layer {now:.2f}, validation {before:.2f}; {_numbers(exits)}"
    findings.append(f"Exits are {change} on validation: {numbers}." if exits["alarm"] else f"Exits: {numbers}.")
    if exits["alarm"] and now > before:
        findings.append(f"Answers take longer: layer speed-up {depth / now:.2f} instead of {depth / before:.2f}.")
    if confidence is None:
        return findings
    low, high = confidence["mean"]["validation"], confidence["mean"]["scored"]
    numbers = f"mean {high:.3f}, validation {low:.3f}; {_numbers(confidence)}"
    if not confidence["alarm"]:
        return [*findings, f"Confidences: {numbers}."]
    change = _direction(low, high, "higher than", "lower than", "distributed otherwise than")
    findings.append(f"Confidences are {change} on validation: {numbers}.")
    if high > low and not tally.labelled:
        findings.append(
            "Answers to inputs that differ may be overconfident. Score rows with labels (--label) to measure it."
        )
    return findings


def _direction(before: float, now: float, more: str, less: str, same: str) -> str:
    """Return a word for the change of a mean; `same` where it changes by less than 1 %."""
    if abs(now - before) < 0.01 * abs(before):
        return same
    return more if now > before else less


def _numbers(entry: Mapping[str, Any]) -> str:
    p_value = entry["p_value"]
    shown = f"= {p_value:.2g}" if p_value >= 1e-12 else "< 1e-12"
    return f"{entry['test']} {entry['statistic']:.3g}, p {shown}, stability index {entry['stability_index']:.3f}"
