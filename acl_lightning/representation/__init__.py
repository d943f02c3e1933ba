"""Measures of the geometry of a representation: compactness of classes, use of the space, position of label embeddings.

Plain torch: every measure maps the embeddings of an exit, (n, D), to a float; `measure_exits` applies all of them to
all exits. They are computed in float64 and do not change under a rotation or a common positive scale of the embeddings.
A measure that is not defined (no pair, no class, no spread) is NaN.
"""

from acl_lightning.representation.alignment import alignment, class_separation
from acl_lightning.representation.anisotropy import anisotropy
from acl_lightning.representation.directions import unit_vectors
from acl_lightning.representation.effective_rank import effective_rank
from acl_lightning.representation.label_alignment import label_distance, label_margin
from acl_lightning.representation.measures import MEASURES, measure_exits
from acl_lightning.representation.uniformity import uniformity

__all__ = [
    "MEASURES",
    "alignment",
    "anisotropy",
    "class_separation",
    "effective_rank",
    "label_distance",
    "label_margin",
    "measure_exits",
    "uniformity",
    "unit_vectors",
]
