"""Families of pretrained encoders of transformers, one file per family.

Every family is a `ModelBackbone`: it names the submodules of its layers. The registry maps the `model_type` of a
configuration to a family.
"""

from acl_lightning.encoders.families.albert import AlbertFamily
from acl_lightning.encoders.families.bert import BertFamily
from acl_lightning.encoders.families.deberta import DebertaFamily
from acl_lightning.encoders.families.distilbert import DistilBertFamily
from acl_lightning.encoders.families.model_backbone import ModelBackbone
from acl_lightning.encoders.families.modernbert import ModernBertFamily
from acl_lightning.encoders.families.mpnet import MPNetFamily

__all__ = [
    "AlbertFamily",
    "BertFamily",
    "DebertaFamily",
    "DistilBertFamily",
    "MPNetFamily",
    "ModelBackbone",
    "ModernBertFamily",
]
