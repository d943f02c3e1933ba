"""Handwritten digits of scikit-learn: 1797 grey images of 8 x 8 pixels, available without a network."""

from __future__ import annotations

import hashlib
import importlib

import torch

from acl_lightning.data.images.tables import ImageTable
from acl_lightning.errors import UserError

#: Names of the classes.
DIGITS = tuple("0123456789")
#: Largest value of a pixel.
DARKEST = 16


def digits() -> ImageTable:
    """Return all images with their labels, in the order of scikit-learn.

    Source: the test set of "Optical Recognition of Handwritten Digits", UCI repository.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise UserError(
            "scikit-learn for the handwritten digits", "none", "Install it: pip install 'acl-lightning[vision]'"
        ) from error
    loaded = datasets.load_digits()
    images_N1HW = torch.from_numpy(loaded.images * 255 / DARKEST).round().to(torch.uint8)[:, None]
    return ImageTable(
        names=[str(row) for row in range(len(images_N1HW))],
        labels=loaded.target.tolist(),
        load=images_N1HW.__getitem__,
        content=hashlib.sha256(images_N1HW.numpy().tobytes()).hexdigest(),
    )
