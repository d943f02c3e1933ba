"""Exit criteria in numpy, with the names and settings of `acl_lightning.exits.criteria`.

`acl_lightning.exits.criteria` has the formulas, sources and grids; the classes here only decide. To give a criterion a
numpy form, subclass `ServedCriterion`, or `DistributionCriterion` if it reads the class distribution of an exit alone,
and list the class in `BUILT_IN`. Tests compare all criteria of both registries.
"""

from acl_lightning.serving.criteria.base import Floats, ServedCriterion
from acl_lightning.serving.criteria.distributions import log_probabilities
from acl_lightning.serving.criteria.registry import BUILT_IN, served_criterion
from acl_lightning.serving.criteria.single_exit import DistributionCriterion

__all__ = [
    "BUILT_IN",
    "DistributionCriterion",
    "Floats",
    "ServedCriterion",
    "log_probabilities",
    "served_criterion",
]
