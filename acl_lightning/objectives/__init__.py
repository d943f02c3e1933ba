"""What training minimises: terms per exit (one file each) and their weighted combination.

Terms: `CrossEntropy`, `SquaredError`, `SupervisedContrastive` (SCL), `ACLEmbed` (ACL-Embed), `ACLCrossLayer` (ACL-CL),
`ACF`, `SelfDistillation`, `GateCorrectness`. Plain torch; each is usable without Lightning, in three lines::

    objective = WeightedObjective(ACLEmbed(temperature=0.3), weight=0.5)
    terms = objective(ExitOutputs(embeddings_EBD, logits_EBC, label_embeddings_ECD), labels_B)
    sum(terms.values()).backward()
"""

from acl_lightning.objectives.acf import ACF, correlation_penalty
from acl_lightning.objectives.acl_embed import ACLEmbed, acl_embed
from acl_lightning.objectives.base import Objective, Term
from acl_lightning.objectives.cross_entropy import CrossEntropy, SquaredError
from acl_lightning.objectives.cross_layer import ACLCrossLayer, acl_cross_layer
from acl_lightning.objectives.exit_weights import Ascending, ExitWeights, Given, Uniform
from acl_lightning.objectives.gate import GateCorrectness
from acl_lightning.objectives.self_distillation import SelfDistillation, distillation
from acl_lightning.objectives.similarity import contrastive_loss
from acl_lightning.objectives.supervised_contrastive import SupervisedContrastive, supervised_contrastive
from acl_lightning.objectives.teachers import BestExit, GivenExit, LastExit, NextExit, Teacher
from acl_lightning.objectives.weighted_objective import WeightedObjective

__all__ = [
    "ACF",
    "ACLCrossLayer",
    "ACLEmbed",
    "Ascending",
    "BestExit",
    "CrossEntropy",
    "ExitWeights",
    "GateCorrectness",
    "Given",
    "GivenExit",
    "LastExit",
    "NextExit",
    "Objective",
    "SelfDistillation",
    "SquaredError",
    "SupervisedContrastive",
    "Teacher",
    "Term",
    "Uniform",
    "WeightedObjective",
    "acl_cross_layer",
    "acl_embed",
    "contrastive_loss",
    "correlation_penalty",
    "distillation",
    "supervised_contrastive",
]
