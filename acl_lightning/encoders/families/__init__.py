"""Families of pretrained encoders of transformers, one file per family.

Every family is a `ModelBackbone`: it names the submodules of its layers. The registry maps the `model_type` of a
configuration to a family.
"""

from acl_lightning.encoders.families.albert import AlbertFamily
from acl_lightning.encoders.families.bert import BertFamily
from acl_lightning.encoders.families.deberta import DebertaFamily
from acl_lightning.encoders.families.dinov2 import Dinov2Family
from acl_lightning.encoders.families.distilbert import DistilBertFamily
from acl_lightning.encoders.families.image_backbone import ImageBackbone
from acl_lightning.encoders.families.model_backbone import ModelBackbone
from acl_lightning.encoders.families.modernbert import ModernBertFamily
from acl_lightning.encoders.families.mpnet import MPNetFamily
from acl_lightning.encoders.families.text_backbone import TextBackbone
from acl_lightning.encoders.families.vit import ViTFamily

__all__ = [
    "AlbertFamily",
    "BertFamily",
    "DebertaFamily",
    "Dinov2Family",
    "DistilBertFamily",
    "ImageBackbone",
    "MPNetFamily",
    "ModelBackbone",
    "ModernBertFamily",
    "TextBackbone",
    "ViTFamily",
]
