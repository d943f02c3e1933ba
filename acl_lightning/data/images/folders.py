"""Folders of images: a folder per class, or images without labels."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from acl_lightning.data.images.tables import ImageTable
from acl_lightning.errors import UserError

#: Suffixes of the files that are read as images.
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class ImageFormat:
    """Form in which images are loaded.

    Attributes:
        size: Height and width in pixels that images are resized to, without keeping their proportions.
        channels: 1 (grey) or 3 (colour).
    """

    size: int
    channels: int

    def tensor(self, image: Any) -> Tensor:
        """Return a PIL image as a tensor (channels, size, size), uint8."""
        converted = image.convert("L" if self.channels == 1 else "RGB")
        if converted.size != (self.size, self.size):
            converted = converted.resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(converted, dtype=np.uint8))
        return pixels[None] if self.channels == 1 else pixels.permute(2, 0, 1)


def class_names(directory: Path) -> list[str]:
    """Return the names of the class folders, sorted.

    Raises:
        UserError: There is no such directory, or it has fewer than two folders.
    """
    if not directory.is_dir():
        raise UserError(f"a folder of images at {directory}", "none", "Set data.root to an existing folder.")
    names = sorted(path.name for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise UserError(
            f"at least two class folders in {directory}",
            ", ".join(names) or "none",
            f"Store the images of a class in {directory}/CLASS/.",
        )
    return names


def folder_table(
    directory: Path, classes: Sequence[str] | None, image_format: ImageFormat, *, skip_unreadable: bool
) -> ImageTable:
    """List the images of a folder, and check that they are images.

    Args:
        directory: Folder with a folder per class, or with images in any depth.
        classes: Names of the classes in the order of their indices; None: images without labels.
        image_format: Form in which images are loaded.
        skip_unreadable: Whether images that do not open are left out, with a warning, instead of refused. All images
            are then decoded once.

    Raises:
        UserError: There is no such folder, a class folder is unknown, there are no images, or an image does not open.
    """
    if not directory.is_dir():
        raise UserError(f"a folder of images at {directory}", "none", "Set data.root or data.predict to a folder.")
    if classes is not None:
        unknown = sorted(set(class_names(directory)) - set(classes))
        if unknown:
            raise UserError(
                f"class folders among {', '.join(classes)} in {directory}",
                f"{unknown[0]!r}",
                "Add images of the class to the training folder, or remove the folder.",
            )
    paths = sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if classes is not None:
        paths = [path for path in paths if path.parent != directory]
    readable = [path for path in paths if _opens(path, decode=skip_unreadable, skip=skip_unreadable)]
    if len(readable) < len(paths):
        first = next(path for path in paths if path not in set(readable))
        warnings.warn(
            f"{len(paths) - len(readable)} of {len(paths)} images in {directory} do not open and are left out, "
            f"{first} first",
            stacklevel=2,
        )
    if not readable:
        raise UserError(
            f"images ({', '.join(sorted(SUFFIXES))}) in {directory}", "none", "Set data.root to a folder of images."
        )
    relative = [path.relative_to(directory) for path in readable]
    number = {name: index for index, name in enumerate(classes or ())}
    states = [path.stat() for path in readable]
    content = [(str(name), state.st_size, state.st_mtime_ns) for name, state in zip(relative, states, strict=True)]
    return ImageTable(
        names=[name.as_posix() for name in relative],
        labels=None if classes is None else [number[name.parts[0]] for name in relative],
        load=lambda row: _decoded(readable[row], image_format),
        content=hashlib.sha256(repr((content, image_format)).encode()).hexdigest(),
    )


def _opens(path: Path, *, decode: bool, skip: bool) -> bool:
    """Return whether a file is an image; without `skip`, raise `UserError` if it is none."""
    try:
        with Image.open(path) as image:
            if decode:
                image.load()
            else:
                image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if skip:
            return False
        raise _unreadable(path, error) from error
    return True


def _decoded(path: Path, image_format: ImageFormat) -> Tensor:
    try:
        with Image.open(path) as image:
            return image_format.tensor(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"an image in {path}",
        f"a file that does not open ({' '.join(str(error).split())})",
        "Replace it, or set data.skip_unreadable=true to leave out files that do not open.",
    )
