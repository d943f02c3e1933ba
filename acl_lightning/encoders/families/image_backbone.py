"""Base class of backbones of images, whose tokens are patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acl_lightning.encoders.backbone import TokenState
from acl_lightning.encoders.families.model_backbone import ModelBackbone
from acl_lightning.errors import UserError


class ImageBackbone(ModelBackbone):
    """Pre-norm encoder of images: a [CLS] token and the patches, all of the same number.

    Exits read rows after the final norm `layernorm` of the model.

    Args:
        model: Model with `embeddings.patch_embeddings` and `layernorm`.
        settings: Settings of `ModelBackbone`.
    """

    def __init__(self, model: nn.Module, **settings: bool) -> None:
        super().__init__(model, **settings)
        embeddings = self.model.embeddings
        self.max_tokens = embeddings.position_embeddings.shape[1]
        self._pixels = (embeddings.patch_embeddings.num_channels, *embeddings.patch_embeddings.image_size)

    def embed(self, pixel_values: Tensor) -> TokenState:
        """Embed images (B, channels, height, width).

        Raises:
            UserError: The images have another size than the position embeddings of the model.
        """
        if tuple(pixel_values.shape[1:]) != self._pixels:
            channels, height, width = self._pixels
            raise UserError(
                f"images of {channels} x {height} x {width} (channels, height, width), the size of the backbone",
                " x ".join(str(size) for size in pixel_values.shape[1:]),
                f"Set data.image_size to {height} and data.channels to {channels}.",
            )
        return TokenState(self.model.embeddings(pixel_values), None)

    def example_inputs(self, num_tokens: int, device: torch.device) -> dict[str, Tensor]:
        """Return a black image; `num_tokens` is ignored, since all images have the same number of tokens."""
        return {"pixel_values": torch.zeros(1, *self._pixels, device=device)}

    def exit_norm(self, row: Tensor) -> Tensor:
        """Apply the final norm."""
        normed: Tensor = self.model.layernorm(row)
        return normed

    def layers_of(self, name: str) -> tuple[int, ...]:
        """Return the layer of a parameter, see `Backbone.layers_of`."""
        return (self.depth,) if name.startswith("model.layernorm.") else super().layers_of(name)
