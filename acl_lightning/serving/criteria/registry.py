"""Names of criteria in manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.serving.criteria.base import ServedCriterion
from acl_lightning.serving.criteria.composed import Calibrated, Ensembled
from acl_lightning.serving.criteria.consecutive import FPABEE, PCEE, Patience
from acl_lightning.serving.criteria.single_exit import (
    Confidence,
    Entropy,
    LearntGate,
    Margin,
    PrototypeMargin,
    Static,
)

#: Name -> class of every criterion with a numpy form.
BUILT_IN: dict[str, type[ServedCriterion]] = {
    kind.name: kind
    for kind in (
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
}


def served_criterion(description: Mapping[str, object]) -> ServedCriterion:
    """Build the criterion of a description, `{"name": ..., "settings": {...}}`.

    Raises:
        UserError: The criterion has no numpy form, or its settings are damaged.

    >>> import numpy as np
    >>> served_criterion({"name": "confidence", "settings": {}}).certainty(np.zeros((1, 1, 2), np.float32), None)
    array([0.5], dtype=float32)
    """
    name, settings = description.get("name"), description.get("settings") or {}
    if name not in BUILT_IN:
        raise UserError(
            f"an exit criterion with an ONNX form: {', '.join(BUILT_IN)}",
            f"{name!r}",
            "Sweep other criteria (exit_sweep.criteria), or export without --format onnx.",
        )
    try:
        arguments: dict[str, Any] = dict(settings)  # type: ignore[call-overload]
        if "criterion" in arguments:  # a composed criterion
            arguments["criterion"] = served_criterion(arguments["criterion"])
        return BUILT_IN[str(name)](**arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"settings of the criterion {name}", f"{error}", "Export the run again.") from error
