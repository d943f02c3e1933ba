"""Training on a GPU: precisions, resuming, collectors, and every objective in comparison with the CPU.

Tolerances: kernels that compute the same sum in a different order differ by about 1e-6 of its terms in float32, and by
4e-3 (bfloat16) and 5e-4 (float16) per rounding. AdamW turns a gradient near zero into a step of either sign, so weights
are not compared entry by entry. Instead the Euclidean distance between the weights of two runs is compared with the
distance between the weights before and after training.
"""

import json
import math

import pytest
import torch
from lightning.pytorch import Callback
from training_runs import still_backbone, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.callbacks import LastCheckpoint, RNGState
from acl_lightning.encoders import EXIT_ROWS
from acl_lightning.gradients import ACLGrad, AutogradRows, BackwardRows, BatchedRows, PerLayer, ProtectedPCGrad
from acl_lightning.objectives import (
    ACF,
    ACLCrossLayer,
    ACLEmbed,
    CrossEntropy,
    SelfDistillation,
    SupervisedContrastive,
    Uniform,
    WeightedObjective,
)
from acl_lightning.outputs import ExitOutputs

pytestmark = [
    pytest.mark.gpu,
    # Drivers and libraries of a GPU machine emit warnings that are unrelated to these tests.
    pytest.mark.filterwarnings("default"),
]

#: Precision -> largest distance to the weights of the run on the CPU in 32-true, relative to the distance that it
#: trained. In float16 the loss scaler skips the first steps.
DISTANCE = {"32-true": 0.02, "bf16-mixed": 0.5, "16-mixed": 0.8}


@pytest.fixture(scope="module")
def still(tiny_backbone, tmp_path_factory):
    return still_backbone(tiny_backbone, tmp_path_factory.mktemp("still") / "backbone")


def trained(
    backbone,
    directory,
    accelerator,
    *,
    precision="32-true",
    callbacks=(),
    ckpt_path=None,
    steps=10,
    checkpoints=False,
    **model,
):
    """Train for ten steps on generated rows; return the trainer, and the weights before and after."""
    data = tiny_data(backbone, synthetic_rows=80)
    objective = WeightedObjective(ACLEmbed(0.3), weight=0.5, exit_weights=Uniform())
    module = tiny_module(backbone, data, **({"objective": objective, "gradient_rule": ACLGrad()} | model))
    before = weights(module)
    trainer = tiny_trainer(
        directory, accelerator=accelerator, precision=precision, callbacks=list(callbacks), max_epochs=-1,
        max_steps=steps, enable_checkpointing=checkpoints,
    )  # fmt: skip
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return trainer, before, {name: tensor.cpu() for name, tensor in weights(module).items()}


def distance(first, second):
    """Euclidean distance of all parameters."""
    squares = ((first[name].double() - second[name].double()).square().sum().item() for name in first)
    return math.sqrt(sum(squares))


@pytest.fixture(scope="module")
def on_cpu(still, tmp_path_factory):
    _, before, after = trained(still, tmp_path_factory.mktemp("cpu"), "cpu")
    return before, after


@pytest.mark.parametrize("precision", DISTANCE)
def test_training_gives_the_weights_of_the_cpu(precision, accelerator, still, on_cpu, tmp_path):
    before, expected = on_cpu
    trainer, _, after = trained(still, tmp_path, accelerator, precision=precision)
    assert trainer.global_step == 10
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert distance(after, expected) < DISTANCE[precision] * distance(expected, before)


@pytest.mark.parametrize("precision", DISTANCE)
def test_the_command_line_trains_and_evaluates(precision, accelerator, device, command, tmp_path):
    run = tmp_path / "run"
    arguments = (f"--trainer.accelerator={accelerator}", "--trainer.devices=1", f"--trainer.precision={precision}")
    acl = (
        "--model.objective=WeightedObjective",
        "--model.objective.auxiliary=ACLEmbed",
        "--model.gradient_rule=ACLGrad",
    )
    code, said = command("fit", *acl, *arguments, f"--run_dir={run}")
    assert code == 0, said
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "finished"
    if device.type == "cuda":
        assert result["device"] == torch.cuda.get_device_name(device)
    best = f"--ckpt_path={run / 'checkpoints/best.ckpt'}"
    point = "--exit.operating_point=drop1"
    code, said = command(
        "predict", f"--config={run / 'config.yaml'}", best, point, f"--run_dir={tmp_path / 'out'}", defaults=False
    )
    assert code == 0, said
    assert len((tmp_path / "out/predictions.jsonl").read_text().splitlines()) == 16


class StopsError(Exception):
    """An interruption of the training."""


class StopsAfterSeven(Callback):
    """Interrupts the training after its seventh step."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 7:
            raise StopsError


def test_a_resumed_run_gives_the_weights_of_an_uninterrupted_run(accelerator, tiny_backbone, tmp_path):
    """The dropout masks continue. Kernels without a fixed order of summation may differ in the last bits."""

    def run(name, *more, **settings):
        settings |= {"callbacks": [RNGState(), LastCheckpoint(5, str(tmp_path / name)), *more], "checkpoints": True}
        return trained(tiny_backbone, tmp_path, accelerator, encoder={"dropout": 0.1}, **settings)

    _, before, expected = run("whole")
    _, _, again = run("again")
    with pytest.raises(StopsError):
        run("stopped", StopsAfterSeven())
    torch.manual_seed(99)
    resumed, _, after = run("stopped", ckpt_path=tmp_path / "stopped/last.ckpt")
    assert resumed.global_step == 10
    assert distance(after, expected) <= max(0.02 * distance(expected, before), 2 * distance(again, expected))


@pytest.mark.parametrize("rule", [ACLGrad(), ProtectedPCGrad()], ids=["acl_grad", "protected_pcgrad"])
@pytest.mark.parametrize("collector", [BatchedRows(), BackwardRows()], ids=["batched", "backward"])
def test_collectors_give_the_same_update(collector, rule, accelerator, still, tmp_path):
    _, before, expected = trained(still, tmp_path, accelerator, gradient_rule=rule, gradient_collector=AutogradRows())
    _, _, after = trained(still, tmp_path, accelerator, gradient_rule=rule, gradient_collector=collector)
    assert distance(after, expected) < 0.02 * distance(expected, before)


def test_a_scope_with_several_decisions_trains(accelerator, still, tmp_path):
    trainer, before, after = trained(still, tmp_path, accelerator, gradient_scope=PerLayer())
    assert trainer.global_step == 10
    assert distance(after, before) > 0


def test_batched_rows_equal_separate_backward_passes(device, still):
    data = tiny_data(still)
    module = tiny_module(still, data).to(device)
    batch = {name: values.to(device) for name, values in next(iter(data.train_dataloader())).items()}
    parameters = list(module.encoder.parameters())

    def rows(collector):
        return collector.rows(list(WeightedObjective(ACLEmbed())(module(batch), batch["labels"]).values()), parameters)

    for after, expected in zip(rows(BatchedRows()), rows(AutogradRows()), strict=True):
        for actual, other in zip(after, expected, strict=True):
            assert (actual is None) == (other is None)
            if actual is not None:
                torch.testing.assert_close(actual, other, rtol=1e-3, atol=1e-5)


TERMS = [
    CrossEntropy(0.1, [0.5, 1.0, 2.0]),
    SupervisedContrastive(0.3),
    ACLEmbed(0.3),
    ACLCrossLayer(0.3),
    ACF(0.3, correlation_weight=0.5),
    SelfDistillation(),
]


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_terms_and_their_gradients_equal_those_of_the_cpu(term, device):
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 8, 5), (3, 8, 3), (3, 3, 5))
    tensors = [torch.randn(*shape, generator=generator) for shape in shapes]
    labels = torch.randint(3, (8,), generator=generator)

    def computed(where):
        leaves = [tensor.to(where).requires_grad_() for tensor in tensors]
        loss_E = term.to(where).per_exit(ExitOutputs(*leaves), labels.to(where))
        gradients = torch.autograd.grad(loss_E.sum(), leaves, allow_unused=True)
        return [loss_E.detach().cpu(), *(None if gradient is None else gradient.cpu() for gradient in gradients)]

    for after, expected in zip(computed(device), computed(torch.device("cpu")), strict=True):
        assert (after is None) == (expected is None)
        if after is not None:
            torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_every_exit_row_is_trained(kind, accelerator, still, tmp_path):
    _, before, after = trained(still, tmp_path, accelerator, encoder={"exit_row": kind}, steps=2)
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert distance(after, before) > 0
