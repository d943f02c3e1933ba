"""Registration of exported models with transformers, done by `import acl_lightning.export`."""

from __future__ import annotations

from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

from acl_lightning.export.config import MultiExitConfig
from acl_lightning.export.image_model import MultiExitForImageClassification
from acl_lightning.export.model import MultiExitForSequenceClassification
from acl_lightning.export.pipeline import register_pipeline


def register() -> None:
    """Make transformers' Auto classes and its text-classification pipeline load exported models.

    A second call changes nothing.
    """
    AutoConfig.register(MultiExitConfig.model_type, MultiExitConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(MultiExitConfig, MultiExitForSequenceClassification, exist_ok=True)
    AutoModelForImageClassification.register(MultiExitConfig, MultiExitForImageClassification, exist_ok=True)
    register_pipeline()
