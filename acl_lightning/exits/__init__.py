"""When to stop computing: exit criteria, the sweep over their thresholds, and the choice of operating points.

Everything here reads exit logits `[E, B, C]` and nothing else, in plain torch: one forward pass over a validation set
serves every criterion and every threshold. The one rule is `Criterion`'s: leave at the first exit whose certainty
reaches the threshold. Carrying it out on a running encoder is `acl_lightning.exits.runtime`.
"""

from acl_lightning.exits.confidence import Confidence
from acl_lightning.exits.costs import ExitCosts
from acl_lightning.exits.criterion import Criterion
from acl_lightning.exits.curve import area_under_curve, pareto_front
from acl_lightning.exits.difficulty import mean_layer_by_grade, spearman
from acl_lightning.exits.entropy import Entropy
from acl_lightning.exits.operating_point import OperatingPoint
from acl_lightning.exits.patience import Patience
from acl_lightning.exits.selection import full_depth, loss_name, recommend
from acl_lightning.exits.static import Static
from acl_lightning.exits.sweep import exit_index, sweep

__all__ = [
    "Confidence",
    "Criterion",
    "Entropy",
    "ExitCosts",
    "OperatingPoint",
    "Patience",
    "Static",
    "area_under_curve",
    "exit_index",
    "full_depth",
    "loss_name",
    "mean_layer_by_grade",
    "pareto_front",
    "recommend",
    "spearman",
    "sweep",
]
