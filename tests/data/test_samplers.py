"""Order of the batches, their shards, and resuming in the middle of an epoch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DistributedSampler, SequentialSampler

from acl_lightning.data.loaders import ResumableLoader
from acl_lightning.data.samplers import EpochSampler, ShardedBatchSampler
from acl_lightning.errors import UserError

ROWS, WORLD = st.integers(1, 60), st.integers(1, 4)


class Rows(torch.utils.data.Dataset):
    """A data set whose batches are row numbers."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitems__(self, rows):
        return {"index": torch.tensor(rows)}


def loader(rows=23, batch_size=4, seed=0, num_workers=0, rank=0, world_size=1):
    sampler = ShardedBatchSampler(EpochSampler(rows, seed), batch_size, rank=rank, world_size=world_size)
    return ResumableLoader(Rows(rows), sampler, num_workers=num_workers)


def indices(batches):
    return [batch["index"].tolist() for batch in batches]


# --- order ------------------------------------------------------------------------------------------------------------


@given(rows=ROWS, seed=st.integers(0, 2**40), epoch=st.integers(0, 50))
def test_the_order_is_a_permutation_that_depends_on_seed_and_epoch_only(rows, seed, epoch):
    sampler = EpochSampler(rows, seed)
    sampler.set_epoch(epoch)
    torch.manual_seed(epoch)  # the order must not depend on it
    order = list(sampler)
    again = EpochSampler(rows, seed)
    again.set_epoch(epoch)
    assert sorted(order) == list(range(rows))
    assert order == list(again) == list(sampler)


def test_seeds_and_epochs_give_different_orders():
    orders = set()
    for seed in range(3):
        sampler = EpochSampler(30, seed)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            orders.add(tuple(sampler))
    assert len(orders) == 9


def test_the_order_does_not_change_the_global_random_state():
    before = torch.get_rng_state()
    list(EpochSampler(30, 0))
    assert torch.equal(before, torch.get_rng_state())


# --- shards -----------------------------------------------------------------------------------------------------------


@given(rows=ROWS, batch_size=st.integers(1, 7), world_size=WORLD, seed=st.integers(0, 5))
def test_shards_partition_every_global_batch(rows, batch_size, world_size, seed):
    ranks = [
        list(ShardedBatchSampler(EpochSampler(rows, seed), batch_size, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    alone = list(ShardedBatchSampler(EpochSampler(rows, seed), batch_size * world_size))
    assert all([len(b) for b in batches] == [len(b) for b in ranks[0]] for batches in ranks)
    assert all(len(batches) == len(alone) for batches in ranks)
    for number, expected in enumerate(alone):
        together = [row for batches in ranks for row in batches[number]]
        assert together[: len(expected)] == expected
        extra = together[len(expected) :]
        assert len(extra) < world_size
        if number < len(alone) - 1:
            assert not extra


@given(rows=ROWS, batch_size=st.integers(1, 7), world_size=WORLD)
def test_length_is_the_number_of_batches(rows, batch_size, world_size):
    for drop_last in (False, True):
        sampler = ShardedBatchSampler(
            SequentialSampler(range(rows)), batch_size, drop_last, rank=world_size - 1, world_size=world_size
        )
        batches = list(sampler)
        assert len(batches) == len(sampler)
        if drop_last:
            assert all(len(batch) == batch_size for batch in batches)


def test_sequential_shards_cover_every_row():
    ranks = [list(ShardedBatchSampler(SequentialSampler(range(11)), 2, rank=r, world_size=3)) for r in range(3)]
    assert ranks == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 0]]]


def test_a_distributed_sampler_is_refused():
    sampler = DistributedSampler(range(8), num_replicas=2, rank=0)
    with pytest.raises(UserError, match=r"found DistributedSampler.* Set trainer.use_distributed_sampler to false"):
        ShardedBatchSampler(sampler, 2, rank=0, world_size=2)


# --- resuming ---------------------------------------------------------------------------------------------------------


@given(rows=ROWS, batch_size=st.integers(1, 7), epoch=st.integers(0, 3), data=st.data())
def test_iteration_resumes_at_any_batch(rows, batch_size, epoch, data):
    first = loader(rows, batch_size)
    first.batch_sampler.sampler.set_epoch(epoch)
    stop = data.draw(st.integers(0, len(first)))
    iterator = iter(first)
    seen = indices(next(iterator) for _ in range(stop))
    resumed = loader(rows, batch_size)
    state = first.state_dict()
    if stop:
        resumed.load_state_dict(state)
    resumed.batch_sampler.sampler.set_epoch(epoch)
    assert seen + indices(resumed) == indices(first)
    assert indices(resumed) == indices(first)  # the position applies once


@pytest.mark.parametrize("num_workers", [0, 2])
def test_prefetched_batches_do_not_count(num_workers):
    first = loader(num_workers=num_workers)
    iterator = iter(first)
    seen = indices(next(iterator) for _ in range(2))
    state = first.state_dict()
    assert state["batches"] == 2
    resumed = loader(num_workers=num_workers)
    resumed.load_state_dict(state)
    assert seen + indices(resumed) == indices(loader())
    del iterator


def test_a_position_in_another_epoch_is_not_used():
    first = loader()
    list(first)
    resumed = loader()
    resumed.load_state_dict(first.state_dict())
    resumed.batch_sampler.sampler.set_epoch(1)
    assert len(indices(resumed)) == len(resumed)


def test_the_length_of_a_resumed_loader_is_that_of_the_epoch():
    resumed = loader()
    resumed.load_state_dict({**resumed.state_dict(), "batches": 3})
    assert len(resumed) == 6
    assert len(list(resumed)) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 1}, "seed = 0, as in the checkpoint; found 1"),
        ({"batch_size": 8}, "global_batch = 4, as in the checkpoint; found 8"),
        ({"rows": 24}, "rows = 23, as in the checkpoint; found 24"),
    ],
)
def test_resuming_with_other_data_settings_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        loader(**settings).load_state_dict(loader().state_dict())


def test_resuming_with_another_number_of_processes_and_the_same_global_batch():
    state, other = loader(batch_size=4).state_dict(), loader(batch_size=2, world_size=2, rank=1)
    other.load_state_dict(state)
    assert other.state_dict() == state


class Recorder(LightningModule):
    """A module that records the rows of every step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch_idx, batch["index"].tolist()))
        return self.weight * 0.0

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.1)


class SaveOften(Callback):
    """A callback that saves a checkpoint after every batch, validation and epoch."""

    def __init__(self, directory):
        self.directory = directory
        self.saved = []

    def save(self, trainer, where):
        path = self.directory / f"{where}-{trainer.global_step}.ckpt"
        trainer.save_checkpoint(path)
        self.saved.append((path, len(trainer.lightning_module.seen)))

    def on_train_batch_end(self, trainer, *_):
        self.save(trainer, "batch")

    def on_validation_end(self, trainer, _):
        if not trainer.sanity_checking:
            self.save(trainer, "validation")

    def on_train_epoch_end(self, trainer, _):
        self.save(trainer, "epoch")


def fit(num_workers, tmp_path, callbacks=(), ckpt_path=None, **settings):
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
        default_root_dir=tmp_path,
        **settings,
    )
    model = Recorder()
    train = loader(rows=11, num_workers=num_workers)
    evaluated = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(2)))
    trainer.fit(model, train, evaluated, ckpt_path=ckpt_path)
    return model.seen


@pytest.mark.parametrize("settings", [{}, {"val_check_interval": 2}, {"limit_train_batches": 2}], ids=repr)
def test_lightning_resumes_at_the_right_batch_from_every_checkpoint(tmp_path, settings):
    often = SaveOften(tmp_path)
    whole = fit(0, tmp_path, [often], **settings)
    assert len(whole) == (6 if "limit_train_batches" in settings else 9)
    for path, done in often.saved:
        assert fit(0, tmp_path, ckpt_path=path, **settings) == whole[done:], path.name
    path, done = often.saved[len(often.saved) // 2]
    assert fit(2, tmp_path, ckpt_path=path, **settings) == whole[done:], "with worker processes"
