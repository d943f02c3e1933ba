"""Vocabulary of the generated sentences."""

from __future__ import annotations

from typing import NamedTuple


class Scale(NamedTuple):
    """Adjectives for the two ends of a quality; every word of `good` contradicts every word of `bad`."""

    good: tuple[str, ...]
    bad: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: Places with a regular plural. The order must not change: it determines which pairs of nouns a split uses.
NOUNS = _words(
    """
    hotel museum garden market theatre castle bridge station park school farm restaurant cinema hospital temple harbor
    palace stadium village prison mill shop inn barn cottage tower square lake forest island canal street office airport
    cafe bar pub kitchen classroom workshop warehouse studio chapel fountain playground courtyard hostel casino arena
    pool port suburb valley orchard vineyard lodge cabin tavern ballroom greenhouse
    """
)

SCALES = (
    Scale(_words("excellent superb wonderful great"), _words("awful terrible dreadful poor")),
    Scale(_words("beautiful lovely pretty gorgeous"), _words("ugly hideous unsightly unattractive")),
    Scale(_words("clean spotless tidy neat"), _words("dirty filthy messy shabby")),
    Scale(_words("interesting fascinating exciting captivating"), _words("boring dull tedious uninteresting")),
    Scale(_words("friendly welcoming hospitable inviting"), _words("hostile rude unfriendly unwelcoming")),
    Scale(_words("safe secure protected harmless"), _words("dangerous unsafe risky hazardous")),
    Scale(_words("quiet peaceful calm tranquil"), _words("noisy loud chaotic rowdy")),
    Scale(_words("cheerful joyful merry bright"), _words("gloomy dismal bleak dreary")),
    Scale(_words("comfortable cozy pleasant relaxing"), _words("uncomfortable unpleasant cramped stressful")),
    Scale(_words("modern new fresh stylish"), _words("outdated old stale antiquated")),
    Scale(_words("useful practical helpful handy"), _words("useless impractical pointless worthless")),
    Scale(_words("healthy wholesome hygienic sanitary"), _words("unhealthy toxic polluted contaminated")),
)

ASPECTS = _words(
    "entrance service lighting furniture staff view roof food music floor ceiling parking location decoration"
)
BESIDE = ("near", "beside", "by", "next to", "close to")
REPLACED = _words("replaced followed overlooked resembled surrounded eclipsed copied faced")
DEGREES = _words("really truly very quite rather simply")
TIMES = tuple(
    f"{which} {period}"
    for which in _words("last this that")
    for period in _words("summer winter spring autumn week month year weekend")
)
EVERYONE = ("everybody", "most visitors", "every guest", "all the critics", "many people")
NO_ONE = ("nobody", "few visitors", "no guest", "none of the critics", "hardly anyone")
ASSERTED = _words("said thought felt believed claimed agreed")
DENIED = _words("denied doubted disputed questioned disbelieved contested")
