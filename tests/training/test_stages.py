"""Two-stage training: what each stage trains, against ordinary fine-tuning and a backbone frozen by hand."""

import math
import os
import signal
from pathlib import Path

import pytest
import torch
from killed_runs import fit as fit_command
from killed_runs import killing, same, state
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from training_runs import ROOT, furthest, in_processes, still_backbone, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.callbacks import GradientMonitor
from acl_lightning.encoders.exit_rows import EXIT_ROWS
from acl_lightning.errors import UserError
from acl_lightning.gradients import ACLGrad
from acl_lightning.objectives import (
    ACLCrossLayer,
    ACLEmbed,
    BestExit,
    CrossEntropy,
    Listed,
    SelfDistillation,
    Term,
    WeightedObjective,
)
from acl_lightning.training.optimization import OptimizationConfig
from acl_lightning.training.stages import Joint, TwoStages, build_staged_optimizer

FIRST, EPOCHS = 2, 4
DEEPEST = ("backbone.", "heads.2.", "exit_rows.2.")


@pytest.fixture(scope="module")
def backbone(tiny_backbone, tmp_path_factory) -> str:
    return still_backbone(tiny_backbone, tmp_path_factory.mktemp("still") / "bert")


class Epochs(Callback):
    """Weights at the start of every epoch and at the end; modes, rates and what has a gradient at every step."""

    def __init__(self):
        self.weights, self.modes, self.rates, self.losses, self.trained = [], [], [], [], []

    def on_train_start(self, trainer, pl_module):
        trainer.optimizers[0].register_step_post_hook(lambda optimizer, *_: self._stepped(optimizer, pl_module))

    def _stepped(self, optimizer, module):
        self.rates.append(optimizer.param_groups[0]["lr"])
        self.trained.append({name for name, p in module.encoder.named_parameters() if p.grad is not None})
        self.modes.append((module.encoder.backbone.training, module.encoder.heads.training))

    def on_train_epoch_start(self, trainer, pl_module):
        self.weights.append(weights(pl_module.encoder))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())

    def on_train_end(self, trainer, pl_module):
        self.weights.append(weights(pl_module.encoder))


def fit(backbone, directory, *, data=None, prepare=None, trainer=None, callbacks=(), **settings):
    """A trained module and what `Epochs` saw. One batch an epoch: the order of the rows does not matter."""
    data = data or tiny_data(backbone, synthetic_rows=24, batch_size=24)
    module = tiny_module(backbone, data, **settings)
    if prepare is not None:
        prepare(module)
    watch = Epochs()
    tiny_trainer(directory, callbacks=[watch, *callbacks], **({"max_epochs": EPOCHS} | (trainer or {}))).fit(
        module, datamodule=data
    )
    return module, watch


def part(state_, deepest: bool):
    """The deepest exit and the backbone, or the rest."""
    return {name: tensor for name, tensor in state_.items() if name.startswith(DEEPEST) == deepest}


# -- what is trained ---------------------------------------------------------------------------------------------------


def test_each_stage_trains_its_part_and_leaves_the_other_bit_for_bit(backbone, tmp_path):
    """Also under weight decay, which moves what has a zero gradient."""
    settings = {"optimization": {"weight_decay": 0.5}, "encoder": {"dropout": 0.1, "exit_row": "probe"}}
    _, watch = fit(backbone, tmp_path, first_stage_epochs=FIRST, **settings)
    start, *_ = watch.weights
    between, end = watch.weights[FIRST], watch.weights[-1]
    assert furthest(part(start, deepest=False), part(between, deepest=False)) == 0
    assert furthest(part(between, deepest=True), part(end, deepest=True)) == 0
    for first, second, deepest in ((start, between, True), (between, end, False)):
        moved = {name for name in first if name.startswith(DEEPEST) == deepest and not same(first[name], second[name])}
        assert moved >= {name for name in part(first, deepest) if "classifier" in name or "pooler" in name}
    assert {frozenset(name.startswith(DEEPEST) for name in names) for names in watch.trained[:FIRST]} == {
        frozenset({True})
    }
    assert {frozenset(name.startswith(DEEPEST) for name in names) for names in watch.trained[FIRST:]} == {
        frozenset({False})
    }
    assert watch.modes == [(True, True)] * FIRST + [(False, True)] * (EPOCHS - FIRST)


def test_the_first_stage_is_ordinary_fine_tuning(backbone, tmp_path):
    _, watch = fit(backbone, tmp_path, first_stage_epochs=FIRST)

    def begin_alike(module):
        names = {name: name.replace("heads.0.", "heads.2.") for name in weights(module.encoder)}
        module.encoder.load_state_dict({name: watch.weights[0][there] for name, there in names.items()})

    _, single = fit(backbone, tmp_path, encoder={"exits": [3]}, prepare=begin_alike, trainer={"max_epochs": FIRST})
    expected = {name.replace("heads.0.", "heads.2."): tensor for name, tensor in single.weights[-1].items()}
    assert furthest(part(watch.weights[FIRST], deepest=True), expected) < 1e-6
    assert watch.losses[:FIRST] == pytest.approx(single.losses)
    assert watch.rates[:FIRST] == single.rates


def test_the_second_stage_trains_heads_on_a_backbone_frozen_by_hand(backbone, tmp_path):
    """With weights that ascend over the exits that learn: 1/3, 2/3."""
    _, watch = fit(backbone, tmp_path, first_stage_epochs=FIRST)

    def freeze(module):
        module.encoder.load_state_dict(watch.weights[FIRST])
        for name, parameter in module.encoder.named_parameters():
            parameter.requires_grad_(not name.startswith(DEEPEST))

    by_hand = WeightedObjective(exit_weights=Listed([1, 2, 0]))
    _, expected = fit(backbone, tmp_path, objective=by_hand, prepare=freeze, trainer={"max_epochs": EPOCHS - FIRST})
    assert furthest(watch.weights[-1], expected.weights[-1]) < 1e-6
    assert watch.losses[FIRST:] == pytest.approx(expected.losses)


@pytest.mark.parametrize("exit_row", EXIT_ROWS)
def test_the_frozen_backbone_keeps_no_graph(exit_row, backbone):
    data = tiny_data(backbone)
    encoder = tiny_module(backbone, data, encoder={"exit_row": exit_row}).encoder
    stages = TwoStages(encoder, 1)
    stages.enter(1)
    batch = next(iter(data.train_dataloader()))
    tokens = encoder.embed(batch["input_ids"], batch["attention_mask"])
    for layer in range(encoder.num_layers - 1):
        assert not tokens.hidden_BSD.requires_grad
        tokens = encoder.advance(layer, tokens).following
    assert encoder(batch["input_ids"], batch["attention_mask"]).logits_EBC.requires_grad
    stages.enter(0)
    assert encoder.embed(batch["input_ids"], batch["attention_mask"]).hidden_BSD.requires_grad


def test_a_probe_on_a_frozen_backbone_has_the_gradient_of_one_that_travels_with_the_tokens(backbone):
    data = tiny_data(backbone)
    encoder = tiny_module(backbone, data, encoder={"exit_row": "probe"}).encoder.eval()
    batch = next(iter(data.train_dataloader()))
    found = []
    for frozen in (False, True):
        encoder.backbone.requires_grad_(not frozen)
        outputs = encoder(batch["input_ids"], batch["attention_mask"])
        probes = [row.vector_D for row in encoder.exit_rows]
        found.append([outputs.logits_EBC, *torch.autograd.grad(outputs.logits_EBC.square().sum(), probes)])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_stages_release_what_they_froze_and_nothing_else(backbone):
    encoder = tiny_module(backbone, tiny_data(backbone)).encoder
    by_user = next(encoder.backbone.parameters())
    by_user.requires_grad_(False)
    stages = TwoStages(encoder, 2)
    for epoch in (0, 1, 2, 5):
        stages.enter(epoch)
        assert not by_user.requires_grad
    stages.release()
    assert [name for name, p in encoder.named_parameters() if not p.requires_grad] == [
        next(name for name, p in encoder.named_parameters() if p is by_user)
    ]
    assert [stages.begins(epoch) for epoch in range(4)] == [False, False, True, False]
    assert [stages.enter(epoch) for epoch in (0, 1, 2, 3, 0)] == [True, False, True, False, True]


def test_joint_training_has_one_stage(backbone):
    stages = Joint()
    assert not any(stages.enter(epoch) or stages.begins(epoch) for epoch in range(3))
    assert stages.selection(torch.tensor([0.25, 0.75])).item() == 0.5


def test_it_can_be_trained_again(backbone, tmp_path):
    """A second fit of the same module begins with the first stage, all of whose parameters are in its optimiser."""
    data = tiny_data(backbone, synthetic_rows=24, batch_size=24)
    module = tiny_module(backbone, data, first_stage_epochs=1)
    for _ in range(2):
        before = weights(module.encoder)
        tiny_trainer(tmp_path, max_epochs=2).fit(module, datamodule=data)
        after = weights(module.encoder)
        assert all(furthest(part(before, deepest), part(after, deepest)) > 0 for deepest in (True, False))


# -- schedule, telemetry, choice ---------------------------------------------------------------------------------------


def test_warm_up_and_decay_restart_with_the_second_stage(backbone, tmp_path):
    data = tiny_data(backbone, synthetic_rows=40, batch_size=8)
    rates = {"learning_rate": 1.0e-3, "warmup_fraction": 0.2}
    _, watch = fit(backbone, tmp_path, data=data, trainer={"max_epochs": 3}, first_stage_epochs=1, optimization=rates)
    first = [0, 1, 0.75, 0.5, 0.25]
    second = [0, 0.5, *(1 - step / 8 for step in range(8))]
    assert watch.rates == pytest.approx([1e-3 * rate for rate in first + second])


class Overflow(Term):
    """A protected term that is not finite in its first evaluations."""

    name = "overflow"

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def per_exit(self, outputs, labels_B):
        self.times -= 1
        return CrossEntropy().per_exit(outputs, labels_B) * (math.nan if self.times >= 0 else 1.0)


@pytest.mark.parametrize("skipped", [1, 4])
def test_skipped_steps_of_the_first_stage_do_not_delay_the_schedule_of_the_second(skipped, backbone, tmp_path):
    data = tiny_data(backbone, synthetic_rows=40, batch_size=8)
    rates = {"learning_rate": 1.0e-3, "warmup_fraction": 0.2}
    settings = {"trainer": {"max_epochs": 3}, "first_stage_epochs": 1, "optimization": rates}
    _, watch = fit(backbone, tmp_path, data=data, objective=WeightedObjective(protected=Overflow(skipped)), **settings)
    first = [0, 1, 0.75, 0.5, 0.25][: 5 - skipped]
    second = [0, 0.5, *(1 - step / 8 for step in range(8))]
    assert watch.rates == pytest.approx([1e-3 * rate for rate in first + second])


def test_a_schedule_of_one_stage_is_the_plain_one():
    named = [("heads.a", torch.nn.Parameter(torch.zeros(1)))]
    _, schedule = build_staged_optimizer(named, OptimizationConfig(warmup_fraction=0.0), 4, 0, fused=False)
    assert [schedule.lr_lambdas[0](step) for step in range(5)] == [1, 0.75, 0.5, 0.25, 0]


def test_telemetry_goes_on_through_the_stages(backbone, tmp_path):
    """With a rule that compares gradients; the counts cover the steps of both stages."""
    conflict = GradientMonitor(every_n_steps=1)
    logged = []

    class Logged(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            logged.append(set(trainer.callback_metrics))

    settings = {"objective": WeightedObjective(ACLEmbed(), weight=0.5), "gradient_rule": ACLGrad()}
    fit(backbone, tmp_path, first_stage_epochs=FIRST, callbacks=[conflict, Logged()], **settings)
    assert conflict.steps == EPOCHS
    assert len(conflict.conflicts) == 1
    names = {"gradient/cosine/acl_embed", *(f"train/exit_{layer}/cross_entropy" for layer in (1, 2, 3))}
    assert all(names <= one for one in logged)


def test_a_checkpoint_of_the_first_stage_is_never_the_best(backbone, tmp_path):
    """Even if the second stage makes everything worse."""
    data = tiny_data(backbone, synthetic_rows=64, batch_size=16)
    selections = []

    class Spoil(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            selections.append(trainer.callback_metrics["val/selection"].item())
            if trainer.current_epoch + 1 >= FIRST:
                with torch.no_grad():
                    for head in pl_module.encoder.heads:
                        head.classifier.bias.copy_(torch.tensor([50.0, -50.0]))

    best = ModelCheckpoint(dirpath=tmp_path, monitor="val/selection", mode="max", filename="{epoch}")
    trainer = {"enable_checkpointing": True, "limit_val_batches": 1.0, "max_epochs": 4}
    fit(backbone, tmp_path, data=data, first_stage_epochs=FIRST, callbacks=[Spoil(), best], trainer=trainer)
    assert all(-3 <= value <= -1 for value in selections[:FIRST])
    assert all(0 <= value <= 1 for value in selections[FIRST:])
    assert int(best.best_model_path.rpartition("epoch=")[2].partition(".")[0]) >= FIRST


def test_the_best_exit_hears_of_every_validation_of_a_training_and_of_no_other(backbone, tmp_path):
    data = tiny_data(backbone, synthetic_rows=64, batch_size=16)
    teacher, heard = BestExit(), []

    class Listening(Callback):
        def on_validation_start(self, trainer, pl_module):
            teacher.best.fill_(-1)

        def on_validation_end(self, trainer, pl_module):
            heard.append(int(teacher.best))

    module = tiny_module(backbone, data, objective=WeightedObjective(ACLCrossLayer(teacher=teacher)))
    settings = {"max_epochs": 2, "limit_val_batches": 1.0, "num_sanity_val_steps": 1}
    trainer = tiny_trainer(tmp_path, callbacks=[Listening()], **settings)
    trainer.fit(module, datamodule=data)
    trainer.validate(module, datamodule=data, verbose=False)
    before, *training, after = heard
    assert (before, after) == (-1, -1)
    assert len(training) == 2
    assert all(0 <= exit_ < 3 for exit_ in training)


# -- resume and several processes --------------------------------------------------------------------------------------

TWO_STAGES = ["--model.first_stage_epochs=1"]
BEST_TEACHER = [
    "--model.objective=WeightedObjective",
    "--model.objective.init_args.auxiliary=ACLCrossLayer",
    "--model.objective.init_args.auxiliary.init_args.teacher=BestExit",
]
#: Settings, accumulation and the place of the kill.
KILLS = {
    "second stage": (TWO_STAGES, 2, "killers.KillBeforeBatch(epoch=1, batch=5)"),
    "between the stages": (TWO_STAGES, 1, "killers.KillBeforeBatch(epoch=1, batch=0)"),
    "best teacher": (BEST_TEACHER, 1, "killers.KillBeforeBatch(epoch=1, batch=3)"),
}


@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_run_resumes_bit_for_bit(kill, tiny_backbone, tmp_path):
    arguments, accumulate, callback = KILLS[kill]
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    assert fit_command(tiny_backbone, undisturbed, accumulate, *arguments) == 0
    assert fit_command(tiny_backbone, run, accumulate, *arguments, *killing(callback)) == -signal.SIGKILL
    assert fit_command(tiny_backbone, run, accumulate, *arguments, "--ckpt_path=last") == 0
    for name in ("last.ckpt", "best.ckpt"):
        first, second = (state(path / "checkpoints" / name) for path in (undisturbed, run))
        assert [key for key in first if not same(first[key], second[key])] == [], name
    if kill == "best teacher":
        (best,) = (value for name, value in first["state_dict"].items() if name.endswith("teacher.best"))
        assert best >= 0


def distributed(backbone: str, directory: Path, world: int) -> dict:
    """Weights after both stages of this process of several."""
    data = tiny_data(backbone, synthetic_rows=32, batch_size=8 // world)
    module = tiny_module(backbone, data, first_stage_epochs=1)
    strategy = {"strategy": "ddp", "devices": world} if world > 1 else {}
    tiny_trainer(directory, max_epochs=2, **strategy).fit(module, datamodule=data)
    return weights(module)


def distributed_child(backbone: str, directory: Path) -> None:
    torch.save(distributed(backbone, directory, 2), directory / f"rank-{os.environ['LOCAL_RANK']}.pt")


def test_two_processes_equal_one(backbone, tmp_path):
    assert in_processes(distributed_child, backbone, tmp_path, number=2) == [0, 0]
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt") for rank in range(2))
    assert furthest(first, second) == 0
    assert furthest(first, distributed(backbone, tmp_path, 1)) < 1e-5


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first_stage_epochs": 0}, "first_stage_epochs >= 1; found 0. Set model.first_stage_epochs to null"),
        ({"encoder": {"exits": [3]}}, "at least 2 exits for training in two stages; found 1"),
        ({"encoder": {"label_embeddings": "separate"}}, "tied label embeddings for training in two stages"),
        (
            {"objective": WeightedObjective(ACLCrossLayer())},
            "terms that read a single exit, .* two stages; found acl_cl, which needs 2",
        ),
        ({"objective": WeightedObjective(SelfDistillation())}, "found self_distillation, which needs 2"),
        (
            {"objective": WeightedObjective(exit_weights=Listed([1, 1, 1]))},
            "the deepest exit, .* Set exit weights",
        ),
    ],
)
def test_what_cannot_be_trained_in_two_stages_is_refused_at_once(settings, message, backbone):
    with pytest.raises(UserError, match=message):
        tiny_module(backbone, tiny_data(backbone), **({"first_stage_epochs": 1} | settings))


@pytest.mark.parametrize("first", [2, 3])
def test_a_first_stage_that_leaves_nothing_for_the_second_is_refused(first, backbone, tmp_path):
    with pytest.raises(UserError, match="a first stage that ends before the run, which has 2 steps; found"):
        fit(backbone, tmp_path, first_stage_epochs=first, trainer={"max_epochs": 2})


def test_class_weights_know_the_counts_before_the_first_step(backbone, tmp_path):
    module, watch = fit(
        backbone, tmp_path, objective=WeightedObjective(protected=CrossEntropy(class_weights="balanced"))
    )
    weights_C = module.objective.protected.weights_C
    counts_C = module.trainer.datamodule.class_counts()
    torch.testing.assert_close(weights_C * counts_C, torch.full((2,), counts_C.sum() / 2))
    assert len(watch.losses) == EPOCHS


TWO_STAGE = f"--config={ROOT / 'conf/objective/two_stage.yaml'}"


def test_the_shipped_configuration_trains_both_stages(command, tmp_path):
    short = ("--trainer.max_epochs=2", "--model.first_stage_epochs=1")
    assert command("fit", TWO_STAGE, f"--run_dir={tmp_path / 'run'}", *short) == (0, "")
    best = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == 1


def test_the_command_line_says_what_two_stages_need(command):
    code, error = command("fit", TWO_STAGE)  # one epoch
    assert code == 2
    assert "a first stage that ends before the run" in error
