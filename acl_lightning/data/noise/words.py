"""Dropped, swapped and repeated words."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Literal

from acl_lightning.data.noise.characters import check_edits
from acl_lightning.data.noise.text_noise import EditNoise, Setting

#: Change of a word.
WordEdit = Literal["drop", "swap", "repeat"]

EDITS: tuple[WordEdit, ...] = ("drop", "swap", "repeat")


class WordNoise(EditNoise):
    """Errors in the words of a text. Every word is edited with the probability `rate`.

    Words are separated by white space, which becomes a single space. The edit is drawn uniformly from those in `edits`
    that apply to the word:

    - `drop`: the word is removed, if the text has another word;
    - `swap`: the word changes places with the next one, if there is one;
    - `repeat`: the word is written twice.

    Args:
        rate: Probability that a word is edited, 0 to 1.
        edits: Kinds of edits; None for all.

    Raises:
        UserError: `rate` is out of range, or `edits` is empty or has an unknown kind.

    >>> from pathlib import Path
    >>> WordNoise(0.3, ["drop"]).apply(["a rather good film"], keys=["1"], cache_dir=Path())
    ['a good film']
    """

    def __init__(self, rate: float = 0.1, edits: list[WordEdit] | None = None) -> None:
        super().__init__(rate)
        self.edits = check_edits(type(self).__name__, EDITS if edits is None else edits, EDITS)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Rate and kinds of edits."""
        return {"rate": self.rate, "edits": list(self.edits)}

    def edit(self, text: str, random: Random) -> str:
        """Return the text with errors in its words."""
        words = text.split()
        result: list[str] = []
        place = 0
        while place < len(words):
            word, following = words[place], words[place + 1 : place + 2]
            place += 1
            if random.random() >= self.rate:
                result.append(word)
                continue
            applicable = {"drop": bool(following or result), "swap": bool(following), "repeat": True}
            edits = [edit for edit in self.edits if applicable[edit]]
            edit = random.choice(edits) if edits else None
            if edit == "swap":
                result += [*following, word]
                place += 1
            elif edit != "drop":
                result += [word, word] if edit == "repeat" else [word]
        return " ".join(result)
