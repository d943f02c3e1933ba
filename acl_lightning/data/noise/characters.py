"""Typing errors: swapped, dropped, inserted and neighbouring characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal

from acl_lightning.data.noise.text_noise import EditNoise, Setting
from acl_lightning.errors import UserError

#: Change of a character.
CharacterEdit = Literal["swap", "drop", "insert", "keyboard"]

EDITS: tuple[CharacterEdit, ...] = ("swap", "drop", "insert", "keyboard")

LETTERS = "abcdefghijklmnopqrstuvwxyz"

#: Rows of a QWERTY keyboard.
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    """Return the letters beside each letter in its row, and above and below it."""
    table: dict[str, str] = {}
    for number, row in enumerate(_ROWS):
        for place, letter in enumerate(row):
            beside = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
            above = _ROWS[number - 1][place : place + 2] if number else ""
            below = _ROWS[number + 1][max(0, place - 1) : place + 1] if number + 1 < len(_ROWS) else ""
            table[letter] = beside + above + below
    return table


#: Letter -> letters on the keys that touch its key.
NEIGHBOURS: dict[str, str] = _neighbours()


class CharacterNoise(EditNoise):
    """Typing errors. Every character that is not a space is edited with the probability `rate`.

    The edit is drawn uniformly from those in `edits` that apply to the character:

    - `swap`: the character changes places with the next one, unless that is a space or the end of the text;
    - `drop`: the character is removed;
    - `insert`: a random lower-case letter follows the character;
    - `keyboard`: a letter a to z becomes a letter whose key touches its key on a QWERTY keyboard, in the same case.

    Args:
        rate: Probability that a character is edited, 0 to 1.
        edits: Kinds of edits; None for all.

    Raises:
        UserError: `rate` is out of range, or `edits` is empty or has an unknown kind.

    >>> from pathlib import Path
    >>> CharacterNoise(0.2).apply(["a rather good film"], keys=["0"], cache_dir=Path())
    ['a ratehr goohd fil']
    """

    def __init__(self, rate: float = 0.1, edits: list[CharacterEdit] | None = None) -> None:
        super().__init__(rate)
        self.edits = check_edits(type(self).__name__, EDITS if edits is None else edits, EDITS)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Rate and kinds of edits."""
        return {"rate": self.rate, "edits": list(self.edits)}

    def edit(self, text: str, random: Random) -> str:
        """Return the text with typing errors."""
        result, place = [], 0
        while place < len(text):
            character, following = text[place], text[place + 1 : place + 2]
            place += 1
            if character.isspace() or random.random() >= self.rate:
                result.append(character)
                continue
            swappable = bool(following) and not following.isspace()
            applicable = {"swap": swappable, "keyboard": character.lower() in NEIGHBOURS}
            edits = [edit for edit in self.edits if applicable.get(edit, True)]
            edit = random.choice(edits) if edits else None
            if edit == "swap":
                result += [following, character]
                place += 1
            elif edit == "insert":
                result += [character, random.choice(LETTERS)]
            elif edit == "keyboard":
                letter = random.choice(NEIGHBOURS[character.lower()])
                result.append(letter.upper() if character.isupper() else letter)
            elif edit is None:
                result.append(character)
        return "".join(result)


def check_edits(noise: str, edits: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of edits as a tuple.

    Args:
        noise: Name of the class, for the message.
        edits: Kinds of edits of a configuration.
        known: All kinds.

    Raises:
        UserError: There is none, or an unknown one.
    """
    if not edits or not set(edits) <= set(known):
        raise UserError(
            f"edits of {noise} among {', '.join(known)}",
            f"{list(edits)}",
            f"Set its edits to [{known[0]}], or to null.",
        )
    return tuple(edits)
