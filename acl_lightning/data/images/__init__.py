"""Images: a folder of class folders, a data set of the hub, or the handwritten digits of scikit-learn.

`ImageDataModule` is the DataModule, `RandomShift` an augmentation without torchvision.
"""

from acl_lightning.data.images.image_module import ImageDataModule
from acl_lightning.data.images.transforms import RandomShift

__all__ = ["ImageDataModule", "RandomShift"]
