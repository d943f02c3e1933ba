"""Complete objectives: a protected loss, its auxiliary terms and their weights.

Each class is a `WeightedObjective` with fixed terms, and its arguments are the settings of those terms. For any other
combination of terms use `WeightedObjective` itself.
"""

from acl_lightning.objectives.presets.combinations import (
    ACLQueueObjective,
    ACLRDropObjective,
    ACLSelfDistillationObjective,
    ContrastFirstObjective,
    RDropObjective,
    SampleWeightedObjective,
    SCLQueueObjective,
)
from acl_lightning.objectives.presets.papers import (
    ACFObjective,
    ACLCrossLayerObjective,
    ACLGateObjective,
    ACLObjective,
    CrossEntropyObjective,
    RegressionObjective,
    SCLObjective,
    SelfDistillationObjective,
)

__all__ = [
    "ACFObjective",
    "ACLCrossLayerObjective",
    "ACLGateObjective",
    "ACLObjective",
    "ACLQueueObjective",
    "ACLRDropObjective",
    "ACLSelfDistillationObjective",
    "ContrastFirstObjective",
    "CrossEntropyObjective",
    "RDropObjective",
    "RegressionObjective",
    "SCLObjective",
    "SCLQueueObjective",
    "SampleWeightedObjective",
    "SelfDistillationObjective",
]
