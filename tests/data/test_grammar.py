"""Grammar of the generated statements."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acl_lightning.data.synthetic import vocabulary
from acl_lightning.data.synthetic.grammar import GRADES, Place, Topic, statement

TOPIC = Topic(Place("hotel", False), Place("museum", False), vocabulary.Scale(("lovely",), ("ugly",)), "last week")


def meaning(text):
    """Whether a statement about TOPIC rates the hotel as lovely, by rules independent of the grammar."""
    clauses = re.split(r" but (?=.*was)|, | although | despite ", text)
    main = next(clause for clause in clauses if "the hotel" in clause and ("lovely" in clause or "ugly" in clause))
    predicate = main.split(" was ")[-1]
    signs = predicate.count("not ")
    if "instead of" in predicate or " and not " in predicate:
        return predicate.startswith("lovely")
    if " but " in predicate:
        return predicate.split(" but ")[1].startswith("lovely")
    before = main.split("that the hotel")[0] if "that the hotel" in main else ""
    signs += any(before.startswith(who) for who in vocabulary.NO_ONE)
    signs += any(f" {verb} " in before for verb in vocabulary.DENIED)
    return ("lovely" in predicate) ^ (signs % 2 == 1)


@given(seed=st.integers(0, 10_000), good=st.booleans(), grade=st.integers(0, 4))
def test_an_independent_parser_recovers_the_truth_value(seed, good, grade):
    text = statement(Random(seed), TOPIC, good, grade)
    assert meaning(text) == good, text


@given(seed=st.integers(0, 10_000), grade=st.integers(1, 2))
def test_negation_and_contrast_use_the_same_words_for_both_values(seed, grade):
    good, bad = (statement(Random(seed), TOPIC, value, grade).split() for value in (True, False))
    assert sorted(good) == sorted(bad)
    assert good != bad


def test_plural_places_have_a_plural_copula():
    plural = Topic(Place("hotel", True), Place("museum", True), TOPIC.scale, TOPIC.time)
    text = statement(Random(0), plural, True, 0)
    assert "the hotels" in text
    assert " were " in text


def test_swapping_exchanges_the_places_only():
    swapped = TOPIC.swapped()
    assert (swapped.judged, swapped.landmark) == (TOPIC.landmark, TOPIC.judged)
    assert swapped.swapped() == TOPIC


@pytest.mark.parametrize("grade", range(len(GRADES)))
def test_the_judged_place_and_the_landmark_are_always_named(grade):
    for seed in range(50):
        text = statement(Random(seed), TOPIC, True, grade)
        assert "the hotel" in text
        assert "the museum" in text
