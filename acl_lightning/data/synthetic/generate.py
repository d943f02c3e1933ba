"""Generator of samples in the format of the nine GLUE tasks, with a known difficulty of every sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

from acl_lightning.data.synthetic import vocabulary as words
from acl_lightning.data.synthetic.grammar import Place, Topic, statement
from acl_lightning.data.tasks import TaskInfo

#: Split -> remainders (i + j) % 4 of the positions i, j of the two nouns of a topic, so that splits share no sentence.
SPLIT_RESIDUES = {"train": (0, 1), "validation": (2,), "test": (3,)}

#: Grades in the order of generation: half of the rows are easy, like in real data, and an eighth has each other grade.
GRADE_CYCLE = (0, 1, 0, 2, 0, 3, 0, 4)

#: (generator, function that draws a topic, grade, label) -> texts of a sample.
Builder = Callable[[Random, Callable[[], Topic], int, int], tuple[str, ...]]


def generate_split(info: TaskInfo, split: str, size: int, seed: int) -> dict[str, list[Any]]:
    """Generate `size` different rows of a split.

    Half of the rows have grade 0, and an eighth has each other grade; within a grade the classes are balanced. The rows
    are in random order. The result depends on the arguments only, on every platform.

    Args:
        info: Task whose format the rows have.
        split: Name of the split, an element of `info.splits`.
        size: Number of rows.
        seed: Seed of the rows.

    Returns:
        Column name -> values: the text columns of the task, `label` (class index, or score 0 to 5 for STS-B) and
        `difficulty` (0 to 4, see `grammar.statement`).
    """
    random = Random(f"{info.name}/{split}/{seed}")
    build = BUILDERS[info.name]
    classes = len(SCORED) if info.is_regression else info.num_labels
    rows: dict[tuple[str, ...], tuple[int, int]] = {}
    seen: Counter[int] = Counter()
    for number in range(size):
        difficulty = GRADE_CYCLE[number % len(GRADE_CYCLE)]
        label = seen[difficulty] % classes
        seen[difficulty] += 1
        texts = next(texts for texts in _attempts(random, split, build, difficulty, label) if texts not in rows)
        rows[texts] = (label, difficulty)
    shuffled = random.sample(list(rows.items()), k=size)
    columns: dict[str, list[Any]] = {
        name: [texts[position] for texts, _ in shuffled] for position, name in enumerate(info.text_columns)
    }
    labels = [label for _, (label, _) in shuffled]
    columns["label"] = [SCORED[label][0] for label in labels] if info.is_regression else labels
    columns["difficulty"] = [difficulty for _, (_, difficulty) in shuffled]
    return columns


def _attempts(random: Random, split: str, build: Builder, difficulty: int, label: int) -> Iterator[tuple[str, ...]]:
    for attempt in count():
        assert attempt < 1000, "the grammar has no further different sentences"
        yield build(random, lambda: _topic(random, split), difficulty, label)


def _topic(random: Random, split: str) -> Topic:
    residues = SPLIT_RESIDUES[split.partition("_")[0]]
    while True:
        first, second = random.sample(range(len(words.NOUNS)), k=2)
        if (first + second) % 4 in residues:
            break
    # Both nouns have the same number, otherwise the copula would reveal which of them is judged.
    plural = random.random() < 0.5
    judged, landmark = (Place(words.NOUNS[position], plural) for position in (first, second))
    return Topic(judged, landmark, random.choice(words.SCALES), random.choice(words.TIMES))


# --- single sentences -------------------------------------------------------------------------------------------------


def _sentiment(random: Random, topic: Callable[[], Topic], grade: int, label: int) -> tuple[str, ...]:
    return (f"{statement(random, topic(), label == 1, grade)} .",)


def _acceptability(random: Random, topic: Callable[[], Topic], grade: int, label: int) -> tuple[str, ...]:
    tokens = f"{statement(random, topic(), random.random() < 0.5, grade)} .".split()
    return (" ".join(tokens if label == 1 else CORRUPTIONS[grade](tokens)),)


def _copula(tokens: list[str]) -> int:
    return next(position for position, token in enumerate(tokens) if token in {"was", "were"})


def _bare_copula(tokens: list[str]) -> list[str]:
    return ["be" if token in {"was", "were"} else token for token in tokens]


def _late_determiner(tokens: list[str]) -> list[str]:
    # The last determiner: a sentence that begins with its noun would be recognised by its first word.
    return _exchanged(tokens, max(position for position, token in enumerate(tokens) if token == "the"))


def _late_copula(tokens: list[str]) -> list[str]:
    return _exchanged(tokens, _copula(tokens))


def _disagreement(tokens: list[str]) -> list[str]:
    position = _copula(tokens)
    return [*tokens[:position], "was" if tokens[position] == "were" else "were", *tokens[position + 1 :]]


def _exchanged(tokens: list[str], position: int) -> list[str]:
    return [*tokens[:position], tokens[position + 1], tokens[position], *tokens[position + 2 :]]


#: Grade -> change that makes a sentence unacceptable. Only the first changes the set of words.
CORRUPTIONS: tuple[Callable[[list[str]], list[str]], ...] = (
    _bare_copula,
    _late_determiner,
    _late_copula,
    _disagreement,
    _disagreement,
)


# --- pairs ------------------------------------------------------------------------------------------------------------

SAME, OPPOSITE, SWAPPED, UNRELATED = "same", "opposite", "swapped", "unrelated"

#: Class -> score and relation of STS-B.
SCORED = ((0.0, UNRELATED), (1.5, SWAPPED), (3.0, OPPOSITE), (5.0, SAME))


@dataclass(frozen=True)
class Pairs:
    """Builder of sentence pairs whose label depends on the relation of their statements.

    Attributes:
        relations: Class -> relations of this class, of which one is drawn at random: `same` (both sentences rate the
            same place equally), `opposite` (they rate it oppositely), `swapped` (the second sentence rates the landmark
            of the first, so nothing follows) or `unrelated` (different places).
        second_is_plain: Whether the second sentence always has grade 0, like a hypothesis.
        wording: Template of each sentence.
    """

    relations: tuple[tuple[str, ...], ...]
    second_is_plain: bool = True
    wording: str = "{} ."

    def __call__(self, random: Random, topic: Callable[[], Topic], grade: int, label: int) -> tuple[str, ...]:
        """Build a pair; at grade 0 its class can be recognised by the words that both sentences share."""
        relation = random.choice(self.relations[label])
        first = topic()
        if grade == 0:
            first = first.in_one_word(random)
            relation = UNRELATED if relation == SWAPPED else relation
        good = random.random() < 0.5
        second = {SWAPPED: first.swapped(), UNRELATED: topic()}.get(relation, first)
        second_good = {SAME: good, OPPOSITE: not good}.get(relation, random.random() < 0.5)
        return (
            self.wording.format(statement(random, first, good, grade)),
            self.wording.format(statement(random, second, second_good, 0 if self.second_is_plain else grade)),
        )


def _question_answer(random: Random, topic: Callable[[], Topic], grade: int, label: int) -> tuple[str, ...]:
    asked = topic()
    elsewhere = topic() if grade == 0 else asked.swapped()
    answered = asked if label == 0 else elsewhere
    where = f"{asked.judged.name} {random.choice(words.BESIDE)} {asked.landmark.name}"
    question = random.choice(
        ("what was said about {} ?", "what did the visitors think of {} ?", "what do you know about {} ?")
    )
    return question.format(where), f"{statement(random, answered, random.random() < 0.5, grade)} ."


_FOLLOWS = (SAME,)
_DOES_NOT_FOLLOW = (OPPOSITE, SWAPPED)

#: Task -> builder of its samples.
BUILDERS: dict[str, Builder] = {
    "cola": _acceptability,
    "sst2": _sentiment,
    "mrpc": Pairs((_DOES_NOT_FOLLOW, _FOLLOWS), second_is_plain=False),
    "stsb": Pairs(tuple((relation,) for _, relation in SCORED), second_is_plain=False),
    "qqp": Pairs((_DOES_NOT_FOLLOW, _FOLLOWS), second_is_plain=False, wording="is it true that {} ?"),
    "mnli": Pairs((_FOLLOWS, (SWAPPED,), (OPPOSITE,))),
    "qnli": _question_answer,
    "rte": Pairs((_FOLLOWS, _DOES_NOT_FOLLOW)),
    "wnli": Pairs((_DOES_NOT_FOLLOW, _FOLLOWS)),
}
