"""Aligned contrastive fine-tuning of single-exit and multi-exit encoders.

A short tour: `encoders` steps a pretrained backbone and reads it out at every exit; `objectives` turns those outputs
into loss terms; `gradients` combines the gradients of the terms (ACL-Grad); `exits` decides where a sample leaves and
measures what that costs; `data` is GLUE; `module`, `callbacks` and `cli` put them on PyTorch Lightning.
"""

__version__ = "0.1.0"
