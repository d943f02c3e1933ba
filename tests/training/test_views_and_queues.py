"""Views, memory queues, sample weights and schedules in training: batches, accumulation, stages, resuming."""

import pytest
import torch
from lightning.pytorch import Callback
from training_runs import furthest, still_backbone, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning import distributed
from acl_lightning.callbacks import GradientProbe
from acl_lightning.callbacks.checkpoints.rng_state import RNGState
from acl_lightning.errors import UserError
from acl_lightning.gradients import ACLGrad
from acl_lightning.objectives import (
    ACLEmbed,
    ConstantWeight,
    CrossEntropy,
    LeaveWeights,
    LinearWeight,
    MemoryQueue,
    RDrop,
    RDropObjective,
    SupervisedContrastive,
    WeightedObjective,
)
from acl_lightning.outputs import ExitOutputs


class Watch(Callback):
    """Outputs, labels and logged weights of every batch; saves a checkpoint after batch `save` if a path is set."""

    def __init__(self, save=None, path=None):
        self.save, self.path = save, path
        self.outputs, self.weights, self.losses = [], [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.outputs.append((outputs["outputs"], outputs["labels"], batch["labels"]))
        self.losses.append(outputs["loss"].item())
        logged = trainer.callback_metrics
        self.weights.append([value.item() for name, value in logged.items() if name.startswith("train/weight/")])
        if self.path is not None and len(self.losses) == self.save:
            trainer.save_checkpoint(self.path)


def fit(backbone, directory, *, ckpt=None, watch=None, trainer=None, **settings):
    """A trained module and what `Watch` saw of its five batches of 8 an epoch."""
    data = tiny_data(backbone)
    module = tiny_module(backbone, data, **settings)
    watch = watch or Watch()
    runner = tiny_trainer(directory, callbacks=[watch, RNGState()], **(trainer or {}))
    runner.fit(module, datamodule=data, ckpt_path=ckpt)
    return module, watch


# -- views -------------------------------------------------------------------------------------------------------------


def test_training_has_two_views_and_evaluation_one(tiny_backbone, tmp_path):
    module, watch = fit(tiny_backbone, tmp_path, objective=RDropObjective())
    outputs, labels, batch_labels = watch.outputs[0]
    assert outputs.views == 2
    assert outputs.logits_EBC.shape == (3, 16, 2)
    assert torch.equal(labels, batch_labels.repeat(2))
    first, second = outputs.logits_EBC.chunk(2, dim=1)
    assert 0 < (first - second).abs().max() < 1  # the same samples, other dropout
    batch = next(iter(tiny_data(tiny_backbone).train_dataloader()))
    assert module.eval()(batch).views == 1
    assert module(batch).logits_EBC.shape == (3, 8, 2)


def test_views_of_a_model_without_dropout_are_refused(tiny_backbone, tmp_path):
    still = still_backbone(tiny_backbone, tmp_path / "still")
    remedy = r"found none\. Set model\.encoder\.dropout to 0\.1"
    with pytest.raises(UserError, match=f"dropout, for an objective that compares 2 views; {remedy}"):
        fit(still, tmp_path, objective=RDropObjective())
    with pytest.raises(UserError, match=f"dropout in the heads, .*; {remedy}"):
        fit(tiny_backbone, tmp_path, objective=RDropObjective(), first_stage_epochs=1, trainer={"max_epochs": 2})


def test_views_are_gathered_view_by_view(monkeypatch):
    """Two ranks, whose samples differ by 100; the samples of a view of both ranks come before the next view."""
    monkeypatch.setattr(distributed, "gather", lambda tensor: torch.stack([tensor, tensor + 100]))
    logits_EBC = torch.tensor([0.0, 1.0, 10.0, 11.0]).view(1, 4, 1).expand(2, 4, 3)
    outputs = ExitOutputs(logits_EBC, logits_EBC, torch.zeros(2, 3, 3), views=2)
    gathered = distributed.gather_outputs(outputs)
    order = [0, 1, 100, 101, 10, 11, 110, 111]
    assert gathered.views == 2
    assert gathered.logits_EBC.shape == gathered.embeddings_EBD.shape == (2, 8, 3)
    assert gathered.logits_EBC[1, :, 2].tolist() == order
    assert distributed.gather_labels(torch.tensor([0, 1, 0, 1]), 2).tolist() == [0, 1, 100, 101, 0, 1, 100, 101]


# -- queues ------------------------------------------------------------------------------------------------------------


def test_micro_batches_enter_the_queue_in_order_after_their_gradients(tiny_backbone, tmp_path):
    queue = MemoryQueue(40)
    objective = WeightedObjective(SupervisedContrastive(queue=queue))
    _, watch = fit(tiny_backbone, tmp_path, objective=objective, optimization={"accumulate": 2})
    expected = torch.cat([outputs.embeddings_EBD for outputs, _, _ in watch.outputs], dim=1)
    assert torch.equal(queue.embeddings_EQD, expected)
    assert torch.equal(queue.labels_Q, torch.cat([labels for _, labels, _ in watch.outputs]))
    fresh = WeightedObjective(SupervisedContrastive(queue=MemoryQueue(40)))
    for (outputs, labels, _), loss in zip(watch.outputs, watch.losses, strict=True):
        assert sum(fresh(outputs, labels).values()).item() == pytest.approx(loss, rel=1e-5)
        fresh.after_batch(outputs, labels)


def test_the_queue_is_emptied_between_the_stages(tiny_backbone, tmp_path):
    queue = MemoryQueue(100)
    objective = WeightedObjective(ACLEmbed(queue=queue))
    fit(tiny_backbone, tmp_path, objective=objective, first_stage_epochs=1, trainer={"max_epochs": 2})
    assert len(queue.embeddings_EQD) == 2  # the exits of the second stage
    assert (queue.labels_Q >= 0).sum() == 40


# -- schedules ---------------------------------------------------------------------------------------------------------


def test_weights_change_with_the_optimiser_steps_and_are_logged(tiny_backbone, tmp_path):
    """Five micro-batches an epoch in three steps: six steps."""
    objective = WeightedObjective(ACLEmbed(), 0.6, schedule=LinearWeight(1.0, 0.0))
    settings = {"optimization": {"accumulate": 2}, "trainer": {"max_epochs": 2}, "gradient_rule": ACLGrad()}
    _, watch = fit(tiny_backbone, tmp_path, objective=objective, **settings)
    steps = [0, 0, 1, 1, 2, 3, 3, 4, 4, 5]
    assert watch.weights == [pytest.approx([1.0, 0.6 * (1 - step / 6)]) for step in steps]


def test_constant_weights_are_not_logged(tiny_backbone, tmp_path):
    _, watch = fit(tiny_backbone, tmp_path, objective=WeightedObjective(ACLEmbed()))
    assert watch.weights == [[]] * 5


# -- resuming ----------------------------------------------------------------------------------------------------------


def everything():
    """An objective with two views, a queue, sample weights and schedules."""
    return WeightedObjective(
        [ACLEmbed(queue=MemoryQueue(24, warmup_batches=1)), RDrop()],
        [0.5, 1.0],
        protected=CrossEntropy(sample_weights=LeaveWeights(0.01, 0.01)),
        schedule=[LinearWeight(1.0, 0.1), ConstantWeight()],
        protected_schedule=LinearWeight(until=0.5),
    )


@pytest.mark.parametrize(("accumulate", "batch"), [(1, 3), (2, 7)])
def test_a_resumed_training_equals_an_uninterrupted_one_to_the_bit(accumulate, batch, tiny_backbone, tmp_path):
    settings = {
        "encoder": {"dropout": 0.1},
        "gradient_rule": ACLGrad(),
        "optimization": {"accumulate": accumulate},
        "trainer": {"max_epochs": 2},
    }
    path = tmp_path / "middle.ckpt"
    whole, first = fit(tiny_backbone, tmp_path, watch=Watch(batch, path), objective=everything(), **settings)
    resumed, second = fit(tiny_backbone, tmp_path, ckpt=path, objective=everything(), **settings)
    assert second.losses == first.losses[batch:]
    assert second.weights == first.weights[batch:]
    assert furthest(weights(resumed), weights(whole)) == 0
    assert any(name.endswith("queue.embeddings_EQD") for name in weights(whole))


# -- telemetry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (RDrop(), "terms of GradientProbe that need 1 view of a sample.*; found a term that needs 2"),
        (ACLEmbed(queue=MemoryQueue(8)), "terms of GradientProbe without a memory queue"),
    ],
    ids=["views", "queue"],
)
def test_terms_that_the_probe_cannot_evaluate_are_refused(term, message, tiny_backbone, tmp_path):
    data = tiny_data(tiny_backbone)
    trainer = tiny_trainer(tmp_path, callbacks=[GradientProbe([term])])
    with pytest.raises(UserError, match=message):
        trainer.fit(tiny_module(tiny_backbone, data), datamodule=data)
