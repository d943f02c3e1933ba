"""All measures at all exits."""

from __future__ import annotations

import math

from torch import Tensor

from acl_lightning.representation.alignment import alignment, class_separation
from acl_lightning.representation.anisotropy import anisotropy
from acl_lightning.representation.effective_rank import effective_rank
from acl_lightning.representation.label_alignment import label_distance, label_margin
from acl_lightning.representation.uniformity import uniformity

#: Names of all measures, in the order in which they are reported.
MEASURES = (
    "alignment",
    "uniformity",
    "anisotropy",
    "effective_rank",
    "class_separation",
    "label_distance",
    "label_margin",
)


def measure_exits(
    embeddings_EnD: Tensor, labels_n: Tensor | None, label_embeddings_ECD: Tensor
) -> list[dict[str, float]]:
    """Apply all measures to every exit.

    Args:
        embeddings_EnD: Embeddings of n samples at E exits.
        labels_n: Class of every sample; None for regression, for which the measures of classes are NaN.
        label_embeddings_ECD: Label embeddings, see `ExitOutputs`.

    Returns:
        A dictionary measure -> value per exit, in the order of `MEASURES`. All values are NaN for an exit whose
        embeddings are not finite.
    """
    return [
        _measure(embeddings_nD, labels_n, label_embeddings_CD)
        for embeddings_nD, label_embeddings_CD in zip(embeddings_EnD, label_embeddings_ECD, strict=True)
    ]


def _measure(embeddings_nD: Tensor, labels_n: Tensor | None, label_embeddings_CD: Tensor) -> dict[str, float]:
    values = dict.fromkeys(MEASURES, math.nan)
    if not embeddings_nD.isfinite().all():
        return values
    values |= {
        "uniformity": uniformity(embeddings_nD),
        "anisotropy": anisotropy(embeddings_nD),
        "effective_rank": effective_rank(embeddings_nD),
    }
    if labels_n is None:
        return values
    return values | {
        "alignment": alignment(embeddings_nD, labels_n),
        "class_separation": class_separation(embeddings_nD, labels_n),
        "label_distance": label_distance(embeddings_nD, labels_n, label_embeddings_CD),
        "label_margin": label_margin(embeddings_nD, labels_n, label_embeddings_CD),
    }
