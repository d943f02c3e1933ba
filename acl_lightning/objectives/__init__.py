"""What training minimises: terms per exit (one file each) and their weighted combination.

Plain torch; usable without Lightning::

    objective = Combined(ACLEmbed(temperature=0.3), weight=0.5)
    terms = objective(ExitOutputs(embeddings_EBD, logits_EBC, label_embeddings_ECD), labels_B)
    sum(terms.values()).backward()
"""

from acl_lightning.objectives.acl_embed import ACLEmbed, acl_embed
from acl_lightning.objectives.base import Objective, Term
from acl_lightning.objectives.combine import Combined
from acl_lightning.objectives.cross_entropy import CrossEntropy, SquaredError
from acl_lightning.objectives.exit_weights import Ascending, ExitWeights, Given, Uniform
from acl_lightning.objectives.similarity import contrastive_loss
from acl_lightning.objectives.supervised_contrastive import SupervisedContrastive, supervised_contrastive

__all__ = [
    "ACLEmbed",
    "Ascending",
    "Combined",
    "CrossEntropy",
    "ExitWeights",
    "Given",
    "Objective",
    "SquaredError",
    "SupervisedContrastive",
    "Term",
    "Uniform",
    "acl_embed",
    "contrastive_loss",
    "supervised_contrastive",
]
