"""What the geometry of a representation is like: how close a class lies together, how much of the space is used.

Plain torch: every measure takes the embeddings of one exit, (n, D), and gives a float; `measure_exits` applies all of
them to all exits. All are computed in float64 and unchanged by a rotation or a common positive scale of the embeddings.
Where a measure is not defined (no pair, no class, no spread of its kind) it is NaN, never a number that flatters.
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
