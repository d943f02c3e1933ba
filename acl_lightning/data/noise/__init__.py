"""Noise in the labels and texts of the training split. Selection rows and report rows stay clean."""

from acl_lightning.data.noise.back_translation import BackTranslation
from acl_lightning.data.noise.characters import CharacterNoise
from acl_lightning.data.noise.labels import flip_labels
from acl_lightning.data.noise.text_noise import EditNoise, NoiseSequence, TextNoise
from acl_lightning.data.noise.training_noise import TrainingNoise
from acl_lightning.data.noise.words import WordNoise

__all__ = [
    "BackTranslation",
    "CharacterNoise",
    "EditNoise",
    "NoiseSequence",
    "TextNoise",
    "TrainingNoise",
    "WordNoise",
    "flip_labels",
]
