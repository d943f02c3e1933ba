"""Grammar of statements about places that are either good or bad, in five grades of difficulty.

At grade 0 the adjective determines the truth value. From grade 1 on, every single word of a sentence is independent of
the truth value; only the structure of the sentence determines it.

The meaning is binary: on a scale (`lovely … ugly`), a place that is not at one end is at the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from acl_lightning.data.synthetic import vocabulary as words
from acl_lightning.data.synthetic.vocabulary import Scale


@dataclass(frozen=True)
class Place:
    """A place, or several places of a kind.

    Attributes:
        noun: Singular noun.
        plural: Whether several places are meant.
    """

    noun: str
    plural: bool

    @property
    def name(self) -> str:
        """Noun phrase: `the hotel` or `the hotels`."""
        return f"the {self.noun}s" if self.plural else f"the {self.noun}"

    @property
    def was(self) -> str:
        """Copula that agrees in number: `was` or `were`."""
        return "were" if self.plural else "was"


@dataclass(frozen=True)
class Topic:
    """Subject of a statement: `judged`, which is near `landmark`, is rated on a scale.

    Attributes:
        judged: Place that is rated.
        landmark: Place that is only mentioned.
        scale: Scale of the rating.
        time: Period of the rating, for example `last summer`.
    """

    judged: Place
    landmark: Place
    scale: Scale
    time: str

    def swapped(self) -> Topic:
        """Return the topic with the roles of the two places exchanged."""
        return replace(self, judged=self.landmark, landmark=self.judged)

    def in_one_word(self, random: Random) -> Topic:
        """Return the topic with a single word for each end of the scale, so that equal statements share it."""
        return replace(self, scale=Scale(*((random.choice(end),) for end in self.scale)))

    def adjective(self, random: Random, good: bool) -> str:
        """Draw an adjective for one end of the scale."""
        return random.choice(self.scale.good if good else self.scale.bad)


Form = Callable[[Random, Topic, str, bool], str]


def statement(random: Random, topic: Topic, good: bool, grade: int) -> str:
    """Return a sentence, without a full stop, that rates `topic.judged` as good or bad.

    The position of the landmark (before the sentence or after the subject) and the presence of the time are random.

    Args:
        random: Generator of all random choices.
        topic: Subject of the sentence.
        good: Whether the rating is good.
        grade: Difficulty: 0 plain statement; 1 negation (`not ugly but lovely`); 2 contrast clause (the main clause
            counts); 3 nested attitudes (`nobody doubted that …`); 4 negations and an adjective of another place.
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
    everyone, asserted, affirmed = (random.random() < 0.5 for _ in range(3))
    subjects = random.choice(words.EVERYONE if everyone else words.NO_ONE)
    verb = random.choice(words.ASSERTED if asserted else words.DENIED)
    # An even number of negations among the three leaves the meaning of the adjective unchanged.
    kept = everyone ^ asserted ^ affirmed
    adjective = topic.adjective(random, good if kept else not good)
    return f"{subjects} {verb} that {subject} {topic.judged.was} {_sign(affirmed)}{adjective}"


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


#: Form of a statement by grade of difficulty.
GRADES: tuple[Form, ...] = (_plain, _negation, _contrast, _attitudes, _distractor)
