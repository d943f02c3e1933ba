"""A grammar of statements with a truth value: what is said of a place, and whether that is good or bad.

Five grades of difficulty. At grade 0 the adjective gives the answer. From grade 1 on every word of a sentence is, taken
alone, independent of the answer: only the way the words are put together decides.

Meaning is two-valued: on one scale (`lovely … ugly`) what is not at one end is at the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from acl_lightning.data import vocabulary as words
from acl_lightning.data.vocabulary import Scale


@dataclass(frozen=True)
class Place:
    """A place, or several of a kind."""

    noun: str
    plural: bool

    @property
    def name(self) -> str:
        """`the hotel`, `the hotels`."""
        return f"the {self.noun}s" if self.plural else f"the {self.noun}"

    @property
    def was(self) -> str:
        """The copula that agrees."""
        return "were" if self.plural else "was"


@dataclass(frozen=True)
class Topic:
    """What a statement is about: `judged` stands near `landmark`, and is rated on `scale` for the period `time`."""

    judged: Place
    landmark: Place
    scale: Scale
    time: str

    def swapped(self) -> Topic:
        """The same words with the roles exchanged: now the landmark is judged."""
        return replace(self, judged=self.landmark, landmark=self.judged)

    def in_one_word(self, random: Random) -> Topic:
        """Keep one word for each end of the scale, so that two statements which agree share it."""
        return replace(self, scale=Scale(*((random.choice(end),) for end in self.scale)))

    def adjective(self, random: Random, good: bool) -> str:
        """A word for one end of the scale."""
        return random.choice(self.scale.good if good else self.scale.bad)


Form = Callable[[Random, Topic, str, bool], str]


def statement(random: Random, topic: Topic, good: bool, grade: int) -> str:
    """One sentence, without its full stop, that says `good` or bad of `topic.judged`.

    Where the landmark is named (before the sentence or after the subject) and whether the time is are drawn at random.

    Args:
        random: source of all choices.
        topic: what the sentence is about.
        good: its truth value.
        grade: 0 plain statement; 1 negation (`not ugly but lovely`); 2 contrast clause (the main clause counts);
            3 nested attitudes (`nobody doubted that …`); 4 negations and an adjective that belongs to another place.
    """
    landmark = f"{random.choice(words.BESIDE)} {topic.landmark.name}"
    subject, opening = topic.judged.name, f"{landmark} , "
    if random.random() < 0.5:
        subject, opening = f"{subject} {landmark}", ""
    time = f" {topic.time}" if random.random() < 0.5 else ""
    return f"{opening}{GRADES[grade](random, topic, subject, good)}{time}"


def _plain(random: Random, topic: Topic, subject: str, good: bool) -> str:
    return f"{subject} {topic.judged.was} {random.choice(words.DEGREES)} {topic.adjective(random, good)}"


def _negation(random: Random, topic: Topic, subject: str, good: bool) -> str:
    true, false = topic.adjective(random, good), topic.adjective(random, not good)
    predicate = random.choice(
        (
            f"not {false} but {true}",
            f"{true} and not {false}",
            f"{true} instead of {false}",
            f"far from {false} but {true}",
        )
    )
    return f"{subject} {topic.judged.was} {predicate}"


def _contrast(random: Random, topic: Topic, subject: str, good: bool) -> str:
    main = f"{subject} {topic.judged.was} {topic.adjective(random, good)}"
    aspect, adjective = random.choice(words.ASPECTS), topic.adjective(random, not good)
    return random.choice(
        (
            f"the {aspect} was {adjective} but {main}",
            f"although the {aspect} was {adjective} , {main}",
            f"{main} although the {aspect} was {adjective}",
            f"{main} despite the {adjective} {aspect}",
        )
    )


def _attitudes(random: Random, topic: Topic, subject: str, good: bool) -> str:
    someone, asserted, affirmed = (random.random() < 0.5 for _ in range(3))
    who = random.choice(words.EVERYONE if someone else words.NO_ONE)
    verb = random.choice(words.ASSERTED if asserted else words.DENIED)
    # Three signs and the adjective's own: an even number of negative ones leaves the adjective's meaning as it is.
    kept = someone ^ asserted ^ affirmed
    adjective = topic.adjective(random, good if kept else not good)
    return f"{who} {verb} that {subject} {topic.judged.was} {_sign(affirmed)}{adjective}"


def _distractor(random: Random, topic: Topic, subject: str, good: bool) -> str:
    other = Place(
        random.choice([noun for noun in words.NOUNS if noun not in {topic.judged.noun, topic.landmark.noun}]),
        plural=random.random() < 0.5,
    )
    about_other = f"{_sign(random.random() < 0.5)}{topic.adjective(random, random.random() < 0.5)}"
    affirmed = random.random() < 0.5
    adjective = topic.adjective(random, good if affirmed else not good)
    clause = f"that {random.choice(words.REPLACED)} the {about_other} {other.name.removeprefix('the ')}"
    return f"{subject} {clause} {topic.judged.was} {_sign(affirmed)}{adjective}"


def _sign(affirmed: bool) -> str:
    return "" if affirmed else "not "


#: The form of a statement by its grade of difficulty.
GRADES: tuple[Form, ...] = (_plain, _negation, _contrast, _attitudes, _distractor)
