"""Training objectives: loss terms, evaluated at every exit, and their weighted sums.

Complete objectives (`presets`): `CrossEntropyObjective`, `RegressionObjective`, `SCLObjective`, `ACFObjective`,
`ACLObjective`, `ACLCrossLayerObjective`, `ACLGateObjective`, `SelfDistillationObjective`; beyond the papers
`RDropObjective`, `ACLRDropObjective`, `ACLSelfDistillationObjective`, `SCLQueueObjective`, `ACLQueueObjective`,
`SampleWeightedObjective`, `ContrastFirstObjective`. Any other combination of terms is a `WeightedObjective`, whose
weights may follow a schedule (`schedules`).

Terms, one per file (`terms`): `CrossEntropy`, `SquaredError`, `SupervisedContrastive` (SCL), `ACLEmbed` (ACL-Embed),
`ACLCrossLayer` (ACL-CL), `ACF`, `SelfDistillation`, `RDrop`, `GateCorrectness`, and `SumOfTerms`. They need torch only,
not Lightning::

    objective = WeightedObjective(ACLEmbed(temperature=0.3), weight=0.5)
    terms = objective(ExitOutputs(embeddings_EBD, logits_EBC, label_embeddings_ECD), labels_B)
    sum(terms.values()).backward()
"""

from acl_lightning.objectives.base import Objective
from acl_lightning.objectives.exit_weights import Ascending, ExitWeights, Listed, Uniform
from acl_lightning.objectives.presets import (
    ACFObjective,
    ACLCrossLayerObjective,
    ACLGateObjective,
    ACLObjective,
    ACLQueueObjective,
    ACLRDropObjective,
    ACLSelfDistillationObjective,
    ContrastFirstObjective,
    CrossEntropyObjective,
    RDropObjective,
    RegressionObjective,
    SampleWeightedObjective,
    SCLObjective,
    SCLQueueObjective,
    SelfDistillationObjective,
)
from acl_lightning.objectives.schedules.base import ConstantWeight, WeightSchedule
from acl_lightning.objectives.schedules.ramps import CosineWeight, LinearWeight, Ramp
from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.contrastive.acf import ACF, correlation_penalty
from acl_lightning.objectives.terms.contrastive.acl_cross_layer import ACLCrossLayer, acl_cross_layer
from acl_lightning.objectives.terms.contrastive.acl_embed import ACLEmbed, acl_embed
from acl_lightning.objectives.terms.contrastive.memory_queue import KeptSamples, MemoryQueue
from acl_lightning.objectives.terms.contrastive.similarity import contrastive_loss
from acl_lightning.objectives.terms.contrastive.supervised_contrastive import (
    SupervisedContrastive,
    supervised_contrastive,
)
from acl_lightning.objectives.terms.contrastive.teachers import BestExit, FixedExit, LastExit, NextExit, Teacher
from acl_lightning.objectives.terms.cross_entropy import CrossEntropy
from acl_lightning.objectives.terms.gate_correctness import GateCorrectness
from acl_lightning.objectives.terms.r_drop import RDrop, symmetric_divergence
from acl_lightning.objectives.terms.sample_weights import (
    Certainty,
    LeaveWeights,
    ReachWeights,
    SampleWeights,
    leave_probabilities,
)
from acl_lightning.objectives.terms.self_distillation import SelfDistillation, distillation
from acl_lightning.objectives.terms.squared_error import SquaredError
from acl_lightning.objectives.terms.sum_of_terms import SumOfTerms
from acl_lightning.objectives.weighted_objective import WeightedObjective

__all__ = [
    "ACF",
    "ACFObjective",
    "ACLCrossLayer",
    "ACLCrossLayerObjective",
    "ACLEmbed",
    "ACLGateObjective",
    "ACLObjective",
    "ACLQueueObjective",
    "ACLRDropObjective",
    "ACLSelfDistillationObjective",
    "Ascending",
    "BestExit",
    "Certainty",
    "ConstantWeight",
    "ContrastFirstObjective",
    "CosineWeight",
    "CrossEntropy",
    "CrossEntropyObjective",
    "ExitWeights",
    "FixedExit",
    "GateCorrectness",
    "KeptSamples",
    "LastExit",
    "LeaveWeights",
    "LinearWeight",
    "Listed",
    "MemoryQueue",
    "NextExit",
    "Objective",
    "RDrop",
    "RDropObjective",
    "Ramp",
    "ReachWeights",
    "RegressionObjective",
    "SCLObjective",
    "SCLQueueObjective",
    "SampleWeightedObjective",
    "SampleWeights",
    "SelfDistillation",
    "SelfDistillationObjective",
    "SquaredError",
    "SumOfTerms",
    "SupervisedContrastive",
    "Teacher",
    "Term",
    "Uniform",
    "WeightSchedule",
    "WeightedObjective",
    "acl_cross_layer",
    "acl_embed",
    "contrastive_loss",
    "correlation_penalty",
    "distillation",
    "leave_probabilities",
    "supervised_contrastive",
    "symmetric_divergence",
]
