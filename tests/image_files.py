"""Small image files for tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, value: int, size: int = 8, mode: str = "L") -> None:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size), value, np.uint8)).convert(mode).save(path)


def write_pets(root: Path, rows: int = 10) -> Path:
    """Write a folder with the classes `cat` (dark, grey) and `dog` (bright, colour), and a file that is no image."""
    for row in range(rows):
        write_image(root / f"cat/{row}.png", 10 + row)
        write_image(root / f"dog/{row}.png", 200 + row, mode="RGB")
    (root / "notes.txt").write_text("not an image")
    return root
