"""Base classes of text noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from acl_lightning.errors import UserError

#: Value of a setting, as `result.json` stores it.
Setting = str | int | float | list[str]


class TextNoise(ABC):
    """A random change of the training texts. Equal arguments give equal texts, on every platform."""

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Setting]:
        """Settings by name, for `result.json`."""

    @abstractmethod
    def apply(self, texts: Sequence[str], keys: Sequence[str], cache_dir: Path) -> list[str]:
        """Return the changed texts. No text becomes empty.

        Args:
            texts: Texts of one column.
            keys: Key of each text, from which its random draws are seeded.
            cache_dir: Directory for results that are expensive to compute.
        """

    def describe(self) -> dict[str, object]:
        """Return name and settings, as `result.json` stores them."""
        return {"name": type(self).__name__, "settings": dict(self.settings)}


class EditNoise(TextNoise):
    """Noise that edits every text by itself, with draws that depend on its key only.

    Args:
        rate: Probability that a unit of the text is edited, 0 to 1.

    Raises:
        UserError: `rate` is out of range.
    """

    def __init__(self, rate: float) -> None:
        if not 0 <= rate <= 1:
            raise UserError(f"a rate of {type(self).__name__} from 0 to 1", f"{rate}", "Set its rate to 0.1.")
        self.rate = rate

    def apply(self, texts: Sequence[str], keys: Sequence[str], cache_dir: Path) -> list[str]:
        """Return the edited texts. A text of which nothing would be left is returned unchanged."""
        if self.rate == 0:
            return list(texts)
        edited = (self.edit(text, Random(key)) for text, key in zip(texts, keys, strict=True))
        return [new if new.strip() else old for new, old in zip(edited, texts, strict=True)]

    @abstractmethod
    def edit(self, text: str, random: Random) -> str:
        """Return an edited text; an empty one stands for the text itself."""


class NoiseSequence(TextNoise):
    """Several kinds of noise, one after the other.

    Args:
        noises: The kinds, in the order in which they are applied.

    Raises:
        UserError: There is none.
    """

    def __init__(self, noises: list[TextNoise]) -> None:
        if not noises:
            raise UserError("at least one kind of noise in NoiseSequence", "none", "Set data.text_noise to null.")
        self.noises = noises

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Names of the kinds."""
        return {"noises": [type(noise).__name__ for noise in self.noises]}

    def apply(self, texts: Sequence[str], keys: Sequence[str], cache_dir: Path) -> list[str]:
        """Return the texts after all kinds of noise."""
        changed = list(texts)
        for number, noise in enumerate(self.noises):
            changed = noise.apply(changed, [f"{number}/{key}" for key in keys], cache_dir)
        return changed

    def describe(self) -> dict[str, object]:
        """Return names and settings of all kinds."""
        return {"name": type(self).__name__, "noises": [noise.describe() for noise in self.noises]}
