"""Training batches by class and by length: guarantees, shards and positions."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_runs import tiny_data

from acl_lightning.data.batches import ClassBalanced, LengthGrouped, Shuffled
from acl_lightning.data.loaders import ResumableLoader
from acl_lightning.data.samplers import ShardedBatchSampler
from acl_lightning.errors import UserError


class Rows(torch.utils.data.Dataset):
    """Rows with labels and lengths; batches are row numbers."""

    def __init__(self, labels=(), lengths=()):
        self.columns, self.label_names = {"labels": torch.tensor(labels)}, ()
        self.lengths = torch.tensor(lengths)

    def __len__(self):
        return max(len(self.columns["labels"]), len(self.lengths))

    def __getitems__(self, rows):
        return {"index": torch.tensor(rows)}


def loader(rows, batches, batch_size, *, rank=0, world_size=1, seed=0, epoch=0):
    sampler = batches.sampler(rows, seed=seed, batch_size=batch_size, world_size=world_size)
    sampler.set_epoch(epoch)
    return ResumableLoader(rows, ShardedBatchSampler(sampler, batch_size, rank=rank, world_size=world_size))


def indices(batches):
    return [batch["index"].tolist() for batch in batches]


# --- by class ---------------------------------------------------------------------------------------------------------


@st.composite
def balanced(draw):
    """Labels of which every class has at least `m` rows, `m`, and a batch size of at least `m`."""
    m = draw(st.integers(1, 3))
    counts = draw(st.lists(st.integers(m, 12), min_size=1, max_size=6))
    labels = draw(st.permutations([label for label, count in enumerate(counts) for _ in range(count)]))
    return labels, m, draw(st.integers(m, 16))


@settings(max_examples=40)
@given(balanced(), st.integers(1, 3), st.integers(0, 3))
def test_every_class_of_a_batch_has_at_least_m_rows_on_every_process(case, world_size, epoch):
    labels, m, batch_size = case
    rows = Rows(labels=labels)
    for rank in range(world_size):
        batches = indices(loader(rows, ClassBalanced(m), batch_size, rank=rank, world_size=world_size, epoch=epoch))
        assert len(batches) == -(-len(labels) // (batch_size * world_size))
        for batch in batches:
            counts = Counter(labels[row] for row in batch)
            assert len(batch) == batch_size
            assert min(counts.values()) >= m
            if m * len(set(labels)) <= batch_size:
                assert set(counts) == set(labels)


def test_shares_are_kept_and_every_row_occurs_once_where_the_shares_allow_it():
    labels = [0] * 60 + [1] * 20
    rows = Rows(labels=labels)
    batches = indices(loader(rows, ClassBalanced(2), 8))
    assert all(Counter(labels[row] for row in batch) == {0: 6, 1: 2} for batch in batches)
    assert sorted(row for batch in batches for row in batch) == list(range(80))


def test_a_rare_class_is_repeated_and_a_frequent_class_fills_the_rest():
    labels = [0] * 36 + [1] * 4
    batches = indices(loader(Rows(labels=labels), ClassBalanced(3), 8))
    drawn = Counter(row for batch in batches for row in batch)
    assert [Counter(labels[row] for row in batch)[1] for batch in batches] == [3] * 5
    assert {drawn[row] for row in range(36, 40)} <= {3, 4}
    assert max(drawn[row] for row in range(36)) == 1


def test_many_classes_take_turns():
    labels = [label for label in range(100) for _ in range(4)]
    batches = indices(loader(Rows(labels=labels), ClassBalanced(4), 16))
    assert len(batches) == 25
    assert all(sorted(Counter(labels[row] for row in batch).values()) == [4] * 4 for batch in batches)
    assert sorted(row for batch in batches for row in batch) == list(range(400))


@pytest.mark.parametrize(
    ("labels", "m", "message"),
    [
        ([0, 0, 0, 1], 2, "at least 2 training rows of every class for ClassBalanced; found fewer of class 1 (1). "
                          "Set its rows_per_class to 1 or less"),
        ([0] * 9 + list(range(1, 9)), 3, "fewer of class 1 (1), class 2 (1), class 3 (1), class 4 (1), class 5 (1)"),
        ([0, 0, 1, 1] * 4, 9, "rows_per_class of ClassBalanced up to data.batch_size = 8; found 9. Set its"),
        ([0.5, 0.7], 1, "a classification task for ClassBalanced; found a regression. Set data.batches to null."),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused(labels, m, message):
    with pytest.raises(UserError) as error:
        loader(Rows(labels=labels), ClassBalanced(m), 8)
    assert message in str(error.value)


def test_classes_with_too_few_rows_are_named(tiny_backbone):
    data = tiny_data(tiny_backbone, batches=ClassBalanced(8), batch_size=8, train_rows=12)
    with pytest.raises(UserError, match=r"found fewer of negative \(7\), positive \(5\). Set its rows_per_class to 5"):
        data.train_dataloader()


@pytest.mark.parametrize(("build", "message"), [
    (lambda: ClassBalanced(0), "rows_per_class of ClassBalanced >= 1; found 0"),
    (lambda: LengthGrouped(0), "a window of LengthGrouped >= 1; found 0. Set its window to 50."),
])  # fmt: skip
def test_settings_out_of_range_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()


# --- by length --------------------------------------------------------------------------------------------------------


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=80), batch_size=st.integers(1, 9), epoch=st.integers(0, 3)
)
def test_every_row_occurs_once_and_only_the_last_batch_is_smaller(lengths, batch_size, epoch):
    batches = indices(loader(Rows(lengths=lengths), LengthGrouped(3), batch_size, epoch=epoch))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}


def test_grouped_batches_have_less_padding_and_differ_between_epochs():
    lengths = torch.randint(5, 128, (1000,), generator=torch.Generator().manual_seed(0)).tolist()
    rows = Rows(lengths=lengths)

    def padded(batches):
        return sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)

    grouped, again, other = (indices(loader(rows, LengthGrouped(), 10, epoch=epoch)) for epoch in (0, 0, 1))
    assert grouped == again
    assert {frozenset(batch) for batch in grouped}.isdisjoint(map(frozenset, other))
    assert padded(grouped) < 1.05 * sum(lengths)
    assert padded(indices(loader(rows, Shuffled(), 10))) > 1.6 * sum(lengths)
    means = torch.tensor([sum(lengths[row] for row in batch) / 10 for batch in grouped])
    correlation = torch.corrcoef(torch.stack([means, torch.arange(100.0)]))[0, 1]
    assert abs(correlation) < 0.3, "short and long batches alternate at random"


def test_two_processes_train_on_the_global_batches_of_one():
    lengths = [(7 * row) % 31 + 1 for row in range(64)]
    whole = indices(loader(Rows(lengths=lengths), LengthGrouped(2), 8))
    shards = [indices(loader(Rows(lengths=lengths), LengthGrouped(2), 4, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [first + second for first, second in zip(*shards, strict=True)] == whole


# --- resuming ---------------------------------------------------------------------------------------------------------

KINDS = {"balanced": ClassBalanced(2), "grouped": LengthGrouped(2)}
MANY = Rows(labels=[0] * 20 + [1] * 13, lengths=[(5 * row) % 17 + 1 for row in range(33)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_loader_resumes_in_the_middle_of_an_epoch(kind):
    whole = indices(loader(MANY, KINDS[kind], 4, epoch=2))
    interrupted = loader(MANY, KINDS[kind], 4, epoch=2)
    batches = iter(interrupted)
    seen = [next(batches)["index"].tolist() for _ in range(3)]
    resumed = loader(MANY, KINDS[kind], 4)
    resumed.load_state_dict(interrupted.state_dict())
    assert seen + indices(resumed) == whole


def test_a_position_of_other_batches_is_refused():
    state = loader(MANY, LengthGrouped(2), 4).state_dict()
    with pytest.raises(UserError, match=r"order = \d+, as in the checkpoint; found 0"):
        loader(MANY, Shuffled(), 4).load_state_dict(state)
    earlier = loader(MANY, Shuffled(), 4).state_dict()
    del earlier["order"]  # a checkpoint of version 0.2
    loader(MANY, Shuffled(), 4).load_state_dict(earlier)


# --- the data module --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 1])
def test_every_process_of_the_data_module_has_balanced_batches(tiny_backbone, rank):
    class Two:
        world_size, global_rank, overfit_batches = 2, rank, 0

    data = tiny_data(tiny_backbone, batch_size=4, batches=ClassBalanced(2))
    data.trainer = Two()
    batches = [batch["labels"].tolist() for batch in data.train_dataloader()]
    assert len(batches) == data.train_batches_per_epoch(2) == 5
    assert all(Counter(labels) == {0: 2, 1: 2} for labels in batches)
