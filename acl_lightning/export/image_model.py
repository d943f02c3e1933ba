"""An exported multi-exit encoder of images as a transformers model, and its image processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from acl_lightning.export.model import EarlyExitOutput, MultiExitModel


class MultiExitForImageClassification(MultiExitModel):
    """Multi-exit image classifier for inference.

    Operating points are those of `MultiExitForSequenceClassification`.

    Args:
        config: Configuration of the model.

    Raises:
        UserError: There is no operating point of that name, or the export is one of a model of texts.
    """

    main_input_name = "pixel_values"

    def forward(
        self, pixel_values: Tensor, *, operating_point: str | None = None, return_dict: bool | None = None
    ) -> EarlyExitOutput | tuple[Tensor, ...]:
        """Classify images (B, channels, height, width) without gradients.

        Args:
            pixel_values: Normalised images, as the image processor of the export returns them.
            operating_point: Name of the operating point of this call. None: `config.operating_point`.
            return_dict: False returns the tuple (logits, exit_layer).

        Raises:
            UserError: There is no operating point of that name, or the images have another size than the backbone's.
        """
        return self.decide({"pixel_values": pixel_values}, operating_point, return_dict=return_dict)


def exported_image_processor(image_size: int, mean: Sequence[float], std: Sequence[float]) -> Any:
    """Return the image processor of transformers that prepares images as `ImageDataModule` does.

    It resizes with Pillow, as in training. Images are converted to RGB for a model of three channels; for a model of
    one channel they must be grey (mode L).

    Args:
        image_size: Height and width in pixels.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
    """
    return ViTImageProcessorPil(
        size={"height": image_size, "width": image_size},
        image_mean=list(mean),
        image_std=list(std),
        do_convert_rgb=len(mean) == 3,
    )
