"""Augmentation of images, and their normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from acl_lightning.errors import UserError


class RandomShift(nn.Module):
    """Shift an image by a random number of pixels in both directions; the border is filled with zeros.

    Args:
        pixels: Largest shift in each direction.

    Raises:
        UserError: A negative shift.

    >>> RandomShift(0)(torch.ones(1, 2, 2, dtype=torch.uint8)).shape
    torch.Size([1, 2, 2])
    """

    def __init__(self, pixels: int = 1) -> None:
        super().__init__()
        if pixels < 0:
            raise UserError("a shift of 0 pixels or more", f"{pixels}", "Set pixels of RandomShift to 1 (the default).")
        self.pixels = pixels

    def forward(self, image_CHW: Tensor) -> Tensor:
        """Return the shifted image (C, H, W)."""
        height, width = image_CHW.shape[-2:]
        down, right = torch.randint(2 * self.pixels + 1, (2,)).tolist()
        padded = pad(image_CHW, (self.pixels,) * 4)
        return padded[..., down : down + height, right : right + width]


def normalized(image_CHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return `(x / 255 - mean) / std` in float32; a float image is not divided by 255.

    Args:
        image_CHW: Image, uint8 or float.
        mean: Mean of each channel, or of all.
        std: Standard deviation of each channel, or of all.
    """
    scaled = image_CHW.float() / 255 if image_CHW.dtype == torch.uint8 else image_CHW.float()
    return (scaled - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
