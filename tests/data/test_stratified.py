"""Stratified random subsets."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from acl_lightning.data.stratified import stratified_rows


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=200), share=st.floats(0, 1), seed=st.integers(0, 9))
def test_the_subset_has_the_size_and_every_label_its_share_to_within_one_row(labels, share, seed):
    size = int(share * len(labels))
    rows = stratified_rows(labels, size, seed)
    assert rows == sorted(set(rows))
    assert len(rows) == size
    assert rows == stratified_rows(labels, size, seed)
    for label, total in Counter(labels).items():
        count = sum(labels[row] == label for row in rows)
        assert abs(count - size * total / len(labels)) < 1


def test_the_subset_depends_on_the_seed_and_is_reproducible():
    labels = [0, 1] * 10
    assert stratified_rows(labels, 6, 0) != stratified_rows(labels, 6, 1)
    assert stratified_rows(labels, 6, 0) == [0, 3, 7, 8, 13, 14]  # the same on every platform and in every process


def test_scores_are_grouped_by_the_nearest_integer():
    scores = [0.1, 0.2, 4.9, 5.0]
    rows = stratified_rows(scores, 2, 0)
    assert {round(scores[row]) for row in rows} == {0, 5}
