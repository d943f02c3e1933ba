"""Generated data in the shape of the nine GLUE tasks, with the difficulty of every sample known.

Our own construction. Use it to try a method without a download, and to see whether early exits spend their layers on
the samples that need them: `difficulty` says which those are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

from acl_lightning.data import vocabulary as words
from acl_lightning.data.grammar import Place, Topic, statement
from acl_lightning.data.tables import TaskInfo

#: Which pairs of nouns a split may name: (i + j) % 4 of their positions in the list. So splits share no sentence.
SPLIT_RESIDUES = {"train": (0, 1), "validation": (2,), "test": (3,)}

#: Grades in turn: half of the rows are easy, as in real data, and every harder grade has an eighth.
GRADE_CYCLE = (0, 1, 0, 2, 0, 3, 0, 4)

Builder = Callable[[Random, Callable[[], Topic], int, int], tuple[str, ...]]


def generate_split(info: TaskInfo, split: str, size: int, seed: int) -> dict[str, list[Any]]:
    """Generate `size` different rows of a split.

    Half of the rows have grade 0, an eighth each of the others; within a grade the classes are spread evenly. The rows
    are in random order. The result is a function of the arguments alone, on every platform.

    Returns:
        Column name -> values: the task's text columns, `label` (class index; score 0 to 5 for STS-B) and `difficulty`
        (0 to 4, see `grammar.statement`).
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
        assert attempt < 1000, "the grammar has run out of different sentences"
        yield build(random, lambda: _topic(random, split), difficulty, label)


def _topic(random: Random, split: str) -> Topic:
    residues = SPLIT_RESIDUES[split.partition("_")[0]]
    while True:
        first, second = random.sample(range(len(words.NOUNS)), k=2)
        if (first + second) % 4 in residues:
            break
    # Both of one number: else the copula would tell which of them is judged.
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
    # The last one: a sentence that begins with its noun would give itself away.
    return _exchanged(tokens, max(position for position, token in enumerate(tokens) if token == "the"))


def _late_copula(tokens: list[str]) -> list[str]:
    return _exchanged(tokens, _copula(tokens))


def _disagreement(tokens: list[str]) -> list[str]:
    position = _copula(tokens)
    return [*tokens[:position], "was" if tokens[position] == "were" else "were", *tokens[position + 1 :]]


def _exchanged(tokens: list[str], position: int) -> list[str]:
    return [*tokens[:position], tokens[position + 1], tokens[position], *tokens[position + 2 :]]


#: How a sentence of each grade is made unacceptable. Only the first shows in the words themselves.
CORRUPTIONS: tuple[Callable[[list[str]], list[str]], ...] = (
    _bare_copula,
    _late_determiner,
    _late_copula,
    _disagreement,
    _disagreement,
)


# --- pairs ------------------------------------------------------------------------------------------------------------

SAME, OPPOSITE, SWAPPED, UNRELATED = "same", "opposite", "swapped", "unrelated"

#: STS-B: score and relation, in place of classes.
SCORED = ((0.0, UNRELATED), (1.5, SWAPPED), (3.0, OPPOSITE), (5.0, SAME))


@dataclass(frozen=True)
class Pairs:
    """Two sentences and how what they say of the judged place relates; a distractor in them plays no part.

    Attributes:
        relations: class -> the relations that count as it, one drawn at random:
            `same` (both say the same of the same place), `opposite` (the second says the opposite of it), `swapped`
            (the second judges the landmark of the first, so nothing follows), `unrelated` (other places).
        second_is_plain: whether the second sentence is always of grade 0, as a hypothesis is.
        wording: how each sentence is wrapped.
    """

    relations: tuple[tuple[str, ...], ...]
    second_is_plain: bool = True
    wording: str = "{} ."

    def __call__(self, random: Random, topic: Callable[[], Topic], grade: int, label: int) -> tuple[str, ...]:
        """Build one pair; a grade 0 pair can be told by the words that its sentences share."""
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
    told = asked if label == 0 else elsewhere
    where = f"{asked.judged.name} {random.choice(words.BESIDE)} {asked.landmark.name}"
    question = random.choice(
        ("what was said about {} ?", "what did the visitors think of {} ?", "what do you know about {} ?")
    )
    return question.format(where), f"{statement(random, told, random.random() < 0.5, grade)} ."


_FOLLOWS = (SAME,)
_DOES_NOT = (OPPOSITE, SWAPPED)

#: Task -> how one sample of a given grade and class is built.
BUILDERS: dict[str, Builder] = {
    "cola": _acceptability,
    "sst2": _sentiment,
    "mrpc": Pairs((_DOES_NOT, _FOLLOWS), second_is_plain=False),
    "stsb": Pairs(tuple((relation,) for _, relation in SCORED), second_is_plain=False),
    "qqp": Pairs((_DOES_NOT, _FOLLOWS), second_is_plain=False, wording="is it true that {} ?"),
    "mnli": Pairs((_FOLLOWS, (SWAPPED,), (OPPOSITE,))),
    "qnli": _question_answer,
    "rte": Pairs((_FOLLOWS, _DOES_NOT)),
    "wnli": Pairs((_DOES_NOT, _FOLLOWS)),
}
