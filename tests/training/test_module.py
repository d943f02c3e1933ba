"""Training as Lightning runs it, in one process: precision, accumulation, clipping, telemetry, checkpoints."""

import json
import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import MixedPrecision
from training_runs import furthest, still_backbone, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.callbacks import GradientMonitor
from acl_lightning.data import GLUEDataModule
from acl_lightning.encoders import EncoderConfig
from acl_lightning.errors import UserError
from acl_lightning.gradients import ACLGrad
from acl_lightning.objectives import (
    ACLEmbed,
    CrossEntropy,
    GateCorrectness,
    SupervisedContrastive,
    Uniform,
    WeightedObjective,
)
from acl_lightning.training.module import ACLModule


@pytest.fixture(scope="module")
def backbone(tiny_backbone, tmp_path_factory) -> str:
    return still_backbone(tiny_backbone, tmp_path_factory.mktemp("still") / "bert")


def acl() -> dict:
    return {"objective": WeightedObjective(ACLEmbed(), weight=0.5), "gradient_rule": ACLGrad()}


class Watch(Callback):
    """What every optimiser step saw and did."""

    def __init__(self):
        self.norms, self.rates, self.reports, self.losses = [], [], [], []
        self.states = []

    def on_train_start(self, trainer, pl_module):
        # After the step: by then the gradients are unscaled and clipped, with and without a loss scaler.
        trainer.optimizers[0].register_step_post_hook(lambda optimizer, *_: self._stepped(optimizer))

    def _stepped(self, optimizer):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.norms.append(torch.stack([gradient.norm() for gradient in gradients]).norm().item())
        self.rates.append([group["lr"] for group in optimizer.param_groups])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.states.append(weights(pl_module))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.reports.append(outputs["report"])
        self.losses.append(outputs["loss"].item())


def fit(backbone, directory, *, data=None, prepare=None, callbacks=(), trainer=None, **settings):
    """A trained module and what `Watch` saw."""
    data = data or tiny_data(backbone)
    module = tiny_module(backbone, data, **settings)
    if prepare is not None:
        prepare(module)
    watch = Watch()
    runner = tiny_trainer(directory, callbacks=[watch, *callbacks], **(trainer or {}))
    runner.fit(module, datamodule=data)
    return module, watch


def half_precision(scale: float, **settings) -> dict:
    """16-mixed as on a GPU: Lightning itself offers the CPU bfloat16 only."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, **settings)
    return {"plugins": [MixedPrecision("16-mixed", "cpu", scaler=scaler)]}


# -- precision ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"precision": "bf16-mixed"}, half_precision(256.0)], ids=["bf16", "fp16"])
def test_mixed_precision_follows_float32(settings, backbone, tmp_path):
    unclipped = {"optimization": {"max_grad_norm": None}}
    _, expected = fit(backbone, tmp_path, **unclipped, **acl())
    module, watch = fit(backbone, tmp_path, trainer=settings, **unclipped, **acl())
    assert watch.losses == pytest.approx(expected.losses, rel=0.02)
    assert watch.losses != expected.losses
    assert {tensor.dtype for tensor in weights(module).values()} == {torch.float32}
    assert not any(report.skipped for report in watch.reports)
    assert watch.norms == pytest.approx(expected.norms, rel=0.1)


def test_an_overflow_is_skipped_and_the_scaler_backs_off(backbone, tmp_path):
    """2^40 overflows float16 in the first steps; each divides the scale by 2^15, until the gradients fit."""
    plugin = half_precision(2.0**40, backoff_factor=2.0**-15)
    module, watch = fit(backbone, tmp_path, trainer=plugin, **acl())
    skipped = [report.skipped for report in watch.reports]
    assert skipped[0]
    assert not skipped[-1]
    assert sorted(skipped, reverse=True) == skipped
    assert plugin["plugins"][0].scaler.get_scale() == 2.0 ** (40 - 15 * sum(skipped))
    assert furthest(watch.states[0], watch.states[sum(skipped)]) == 0
    assert furthest(watch.states[0], weights(module)) > 1e-4
    assert all(tensor.isfinite().all() for tensor in weights(module).values())
    assert len(watch.norms) == skipped.count(False)


@pytest.mark.parametrize("settings", [{}, half_precision(256.0)], ids=["float32", "fp16"])
def test_clipping_bounds_the_unscaled_norm(settings, backbone, tmp_path):
    _, free = fit(backbone, tmp_path, optimization={"max_grad_norm": None}, **acl())
    assert min(free.norms) > 0.01
    _, clipped = fit(backbone, tmp_path, trainer=settings, optimization={"max_grad_norm": 0.01}, **acl())
    assert clipped.norms == pytest.approx([0.01] * 5, rel=1e-3)


# -- steps -------------------------------------------------------------------------------------------------------------


def test_the_last_incomplete_group_of_an_epoch_is_stepped(backbone, tmp_path):
    """Five micro-batches, two a step: three steps an epoch; the schedule, which counts them, ends at zero."""
    settings = {"optimization": {"accumulate": 2}, "trainer": {"max_epochs": 2}}
    module, watch = fit(backbone, tmp_path, **settings)
    assert [report is not None for report in watch.reports] == [False, True, False, True, True] * 2
    assert module.trainer.global_step == len(watch.norms) == 6
    assert [rates[0] for rates in watch.rates] == pytest.approx([1e-3 * (6 - step) / 6 for step in range(6)])
    assert module.trainer.optimizers[0].param_groups[0]["lr"] == 0


def test_accumulation_equals_the_larger_batch(backbone, tmp_path):
    """For cross-entropy, a mean over samples; the last group is 8 rows, as the last batch of 16 is."""
    small, _ = fit(backbone, tmp_path, optimization={"accumulate": 2})
    large, watch = fit(backbone, tmp_path, data=tiny_data(backbone, batch_size=16))
    assert furthest(weights(small), weights(large)) < 1e-5
    assert furthest(watch.states[0], weights(large)) > 1e-3


def test_a_smaller_last_micro_batch_counts_by_its_samples(backbone, tmp_path):
    """Micro-batches of 4, 4 and 3 against one batch of 11."""
    small, _ = fit(
        backbone, tmp_path, data=tiny_data(backbone, train_rows=11, batch_size=4), optimization={"accumulate": 3}
    )
    large, watch = fit(backbone, tmp_path, data=tiny_data(backbone, train_rows=11, batch_size=11))
    assert len(watch.reports) == 1
    assert furthest(weights(small), weights(large)) < 1e-5
    assert furthest(watch.states[0], weights(large)) > 1e-4


def test_max_steps_ends_the_run_and_the_schedule(backbone, tmp_path):
    module, watch = fit(backbone, tmp_path, trainer={"max_steps": 3, "max_epochs": -1})
    assert len(watch.norms) == 3
    assert module.trainer.optimizers[0].param_groups[0]["lr"] == 0


def test_heads_have_a_rate_of_their_own(backbone, tmp_path):
    module, watch = fit(backbone, tmp_path, optimization={"head_learning_rate": 1e-2})
    assert sorted(set(watch.rates[0])) == pytest.approx([1e-3, 1e-2])
    of = {id(p): group["initial_lr"] for group in module.trainer.optimizers[0].param_groups for p in group["params"]}
    for name, parameter in module.encoder.named_parameters():
        assert of[id(parameter)] == (1e-3 if name.startswith("backbone.") else 1e-2), name


def test_frozen_parameters_stay(backbone, tmp_path):
    module, watch = fit(
        backbone, tmp_path, prepare=lambda module: module.encoder.backbone.requires_grad_(False), **acl()
    )
    before, after = watch.states[0], weights(module)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any("backbone" in name for name in moved)


def test_gradient_checkpointing_changes_memory_only(backbone, tmp_path):
    plain, watch = fit(backbone, tmp_path, **acl())
    spared, _ = fit(backbone, tmp_path, encoder={"gradient_checkpointing": True}, **acl())
    assert furthest(weights(plain), weights(spared)) < 1e-6
    assert furthest(watch.states[0], weights(plain)) > 1e-3


class BrokenOnce(CrossEntropy):
    """Not a number at the third call, the second batch (telemetry asks once in between)."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def per_exit(self, outputs, labels_B):
        self.calls += 1
        loss_E = super().per_exit(outputs, labels_B)
        return loss_E * math.nan if self.calls == 3 else loss_E


def test_a_step_that_is_not_finite_is_skipped_and_counted(backbone, tmp_path):
    telemetry = GradientMonitor(every_n_steps=100)
    objective = WeightedObjective(ACLEmbed(), weight=0.5, protected=BrokenOnce())
    module, watch = fit(backbone, tmp_path, callbacks=[telemetry], objective=objective, gradient_rule=ACLGrad())
    skipped = [report.skipped for report in watch.reports]
    assert skipped == [math.isnan(loss) for loss in watch.losses] == [False, True, False, False, False]
    assert telemetry.skipped == sum(skipped) == 1
    assert furthest(watch.states[0], watch.states[1]) > 0
    assert furthest(watch.states[1], watch.states[2]) == 0
    assert furthest(watch.states[2], weights(module)) > 0
    assert module.trainer.global_step == len(watch.norms) == 4
    assert all(tensor.isfinite().all() for tensor in weights(module).values())


# -- telemetry ---------------------------------------------------------------------------------------------------------


def test_telemetry_changes_nothing_and_tells_the_angle(backbone, tmp_path):
    contrastive = {"objective": WeightedObjective(SupervisedContrastive(), weight=0.5), "gradient_rule": ACLGrad()}
    silent, expected = fit(backbone, tmp_path, **contrastive)
    telemetry = GradientMonitor(every_n_steps=1)
    module, watch = fit(backbone, tmp_path, callbacks=[telemetry], **contrastive)
    assert furthest(weights(silent), weights(module)) == 0  # the same training on the same machine
    logged = {name: value.item() for name, value in module.trainer.callback_metrics.items()}
    name = "supervised_contrastive"
    product = watch.reports[-1].products_K[1].item()
    cosine = product / logged["gradient/norm/cross_entropy"] / logged[f"gradient/norm/{name}"]
    assert logged[f"gradient/cosine/{name}"] == pytest.approx(cosine, abs=1e-4)
    assert logged[f"gradient/angle/{name}"] == pytest.approx(math.degrees(math.acos(cosine)), abs=0.01)
    conflicts = sum((report.products_K[1] < 0).item() for report in watch.reports)
    assert logged[f"gradient/conflict_rate/{name}"] == pytest.approx(conflicts / 5)
    assert logged["gradient/discarded_steps"] == conflicts
    assert {f"train/exit_{layer}/{term}" for layer in (1, 2, 3) for term in (name, "cross_entropy")} <= logged.keys()
    assert expected.losses == watch.losses


class Logged(Callback):
    """What the loggers would get, step by step."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def test_losses_per_exit_are_exact_in_mixed_precision(backbone, tmp_path):
    """Their mean is the loss that was trained on, which is computed in float32."""
    logged = Logged()
    objective = WeightedObjective(SupervisedContrastive(0.05), exit_weights=Uniform())
    callbacks = [GradientMonitor(every_n_steps=1), logged]
    fit(backbone, tmp_path, callbacks=callbacks, objective=objective, trainer={"precision": "bf16-mixed"})
    assert len(logged.steps) == 5
    for values in logged.steps:
        for term in ("cross_entropy", "supervised_contrastive"):
            mean = sum(values[f"train/exit_{layer}/{term}"] for layer in (1, 2, 3)) / 3
            assert mean == pytest.approx(values[f"train/{term}"], rel=1e-6)


def test_the_tied_label_embeddings_learn_from_acl_embed(backbone):
    """With a table of their own, that table learns and the classifier does not."""
    data = tiny_data(backbone)
    batch = next(iter(data.train_dataloader()))
    for kind in ("tied", "separate"):
        module = tiny_module(backbone, data, encoder={"label_embeddings": kind}, **acl())
        term = module.objective(module(batch), batch["labels"])["acl_embed"]
        classifiers = [head.classifier.weight for head in module.encoder.heads]
        table = [] if module.encoder.label_embeddings is None else [module.encoder.label_embeddings]
        found = torch.autograd.grad(term, [*classifiers, *table], allow_unused=True)
        reached = [gradient is not None and bool(gradient.any()) for gradient in found]
        assert reached == ([True] * 3 if kind == "tied" else [False, False, False, True])


# -- evaluation --------------------------------------------------------------------------------------------------------


def test_two_validation_sets_do_not_mix(backbone, tmp_path):
    data = tiny_data(backbone, task="mnli", synthetic_rows=120, eval_batch_size=7)
    module = tiny_module(backbone, data).eval()
    for head in module.encoder.heads:
        torch.nn.init.normal_(head.classifier.weight)  # else every answer is the same class
    logged = tiny_trainer(tmp_path, limit_val_batches=1.0).validate(module, data, verbose=False)
    found = {name: value for results in logged for name, value in results.items()}
    expected = {}
    for loader, prefix in zip(data.val_dataloader(), ("val", "val_1"), strict=True):
        with torch.no_grad():
            hits = [(module(batch).logits_EBC.argmax(-1) == batch["labels"]).float() for batch in loader]
        for layer, share in enumerate(torch.cat(hits, dim=1).mean(dim=1).tolist(), start=1):
            expected[f"{prefix}/exit_{layer}/accuracy"] = share
        expected[f"{prefix}/accuracy"] = share
    assert expected["val/accuracy"] != expected["val_1/accuracy"]
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert set(found) == {*expected, "val/selection"}


# -- construction and checkpoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["sst2", "stsb"])
def test_default_arguments_train(task, backbone, tmp_path):
    """Cross-entropy, or squared error, at every exit."""
    data = tiny_data(backbone, task=task)
    torch.manual_seed(0)
    module = ACLModule(EncoderConfig(backbone=backbone), label_names=data.label_names)
    data.setup("fit")

    def loss():
        with torch.no_grad():
            batches = [module.objective(module.eval()(batch), batch["labels"]) for batch in data.train_dataloader()]
        module.train()
        return sum(sum(terms.values()).item() for terms in batches) / len(batches)

    before = loss()
    tiny_trainer(tmp_path, max_epochs=2).fit(module, datamodule=data)
    assert loss() < before


def test_the_module_is_a_plain_torch_module(backbone):
    data = tiny_data(backbone)
    module = tiny_module(backbone, data, **acl())
    batch = next(iter(data.train_dataloader()))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = sum(module.objective(module(batch), batch["labels"]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert module(batch).logits_EBC.shape == (3, 8, 2)
    with pytest.raises(UserError, match="an exit criterion; found none"):
        module.predict_step(batch, 0)


def test_a_checkpoint_of_the_command_line_loads_by_itself(command, tmp_path):
    run = tmp_path / "run"
    assert command("fit", f"--run_dir={run}", "--model.encoder.exits=[1,3]", "--model.gradient_rule=ACLGrad")[0] == 0
    path = run / "checkpoints/best.ckpt"
    content = torch.load(path, weights_only=True)
    module = ACLModule.load_from_checkpoint(path, weights_only=True)
    assert module.exit_layers == (1, 3)
    assert isinstance(module.gradient_rule, ACLGrad)
    assert module.label_names == ["negative", "positive"]
    assert furthest(weights(module), content["state_dict"]) == 0


def test_a_checkpoint_of_a_module_made_by_hand_loads(backbone, tmp_path):
    module, _ = fit(backbone, tmp_path, encoder={"exits": [1, 3]}, **acl())
    path = tmp_path / "hand.ckpt"
    module.trainer.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    settings = {"check_every_n_steps", "first_stage_epochs", "global_pool", "gradient_collector", "gradient_scope"}
    assert set(content["hyper_parameters"]) == {*settings, "label_names", "metric_names", "task_name"}
    again = ACLModule.load_from_checkpoint(path, encoder=EncoderConfig(backbone=backbone, exits=[1, 3]), **acl())
    assert again.label_names == module.label_names
    assert furthest(weights(again), content["state_dict"]) == 0
    batch = next(iter(GLUEDataModule.train_dataloader(tiny_data(backbone))))
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(batch).logits_EBC, again.eval()(batch).logits_EBC)


def logged_names(backbone, directory, **settings) -> set[str]:
    """Names of what `GradientMonitor` logs in an epoch."""
    names = set()

    class Logged(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            names.update(trainer.callback_metrics)

    fit(backbone, directory, callbacks=[GradientMonitor(every_n_steps=1), Logged()], **settings)
    return {name for name in names if name.startswith("gradient/")}


@pytest.mark.parametrize("protected_alone", [True, False])
def test_a_term_that_shares_no_parameter_has_no_angle(protected_alone, backbone, tmp_path):
    """The gate's: it would be 90 degrees at every step."""
    terms = [GateCorrectness(), *([] if protected_alone else [ACLEmbed()])]
    settings = {"encoder": {"learnt_gate": True}, "objective": WeightedObjective(terms), "gradient_rule": ACLGrad()}
    found = logged_names(backbone, tmp_path, **settings)
    assert not any("gate_correctness" in name for name in found)
    compared = {f"gradient/{kind}/acl_embed" for kind in ("cosine", "angle", "norm", "conflict_rate")}
    compared |= {"gradient/norm/cross_entropy"}
    assert found - {"gradient/skipped_steps", "gradient/discarded_steps"} == (set() if protected_alone else compared)


def test_a_term_that_is_switched_off_has_no_angle(backbone, tmp_path):
    found = logged_names(
        backbone, tmp_path, objective=WeightedObjective(ACLEmbed(), weight=0.0), gradient_rule=ACLGrad()
    )
    assert "gradient/norm/acl_embed" in found
    assert not any(name.startswith(("gradient/angle", "gradient/cosine")) for name in found)


def test_what_shares_no_parameter_is_remembered(backbone, tmp_path):
    """A resumed run with checks every few steps logs no conflict rate of the gate before its first check."""
    telemetry = GradientMonitor(every_n_steps=1)
    settings = {
        "encoder": {"learnt_gate": True},
        "objective": WeightedObjective(GateCorrectness()),
        "gradient_rule": ACLGrad(),
    }
    fit(backbone, tmp_path, callbacks=[telemetry], **settings)
    assert telemetry.state_dict()["shared"] == [False, False]
    resumed = GradientMonitor()
    resumed.load_state_dict(telemetry.state_dict())
    assert resumed.state_dict() == telemetry.state_dict()
    resumed.load_state_dict({name: value for name, value in telemetry.state_dict().items() if name != "shared"})
    assert resumed.state_dict()["shared"] is None


# -- logits that are not finite ----------------------------------------------------------------------------------------


def test_validating_a_model_with_nan_logits_fails_and_names_the_exit(command, tmp_path):
    run, again = tmp_path / "run", tmp_path / "again"
    assert command("fit", f"--run_dir={run}") == (0, "")
    checkpoint = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    checkpoint["state_dict"]["encoder.heads.1.classifier.bias"][0] = math.nan
    torch.save(checkpoint, tmp_path / "nan.ckpt")
    code, error = command("validate", f"--run_dir={again}", f"--ckpt_path={tmp_path / 'nan.ckpt'}")
    assert code == 2
    expected = "finite logits at every exit; found NaN or infinity for some of 16 samples at the exits of layer 2 (16)."
    assert error.startswith(f"error: expected {expected}")
    assert error.count("\n") == 1
    result = json.loads((again / "result.json").read_text())
    assert result["status"] == "failed"
    assert expected in result["error"]
    assert not (again / "exit_sweep.csv").exists()
