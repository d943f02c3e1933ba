"""Rules, scopes and collectors in whole trainings: precision, accumulation, checkpointing, compilation, resume."""

import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import MixedPrecision
from training_runs import furthest, still_backbone, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.encoders import compilation
from acl_lightning.errors import UserError
from acl_lightning.gradients import (
    ACLGrad,
    AllParameters,
    BackwardRows,
    BatchedRows,
    PerLayer,
    PerTensor,
    ProtectedPCGrad,
    Representation,
    Sum,
    TopLayers,
)
from acl_lightning.objectives import CrossEntropy, SupervisedContrastive, WeightedObjective

SCOPES = [AllParameters(), PerLayer(), PerTensor(), TopLayers(), Representation()]


def kind(thing):
    return type(thing).__name__


@pytest.fixture(scope="module")
def backbone(tiny_backbone, tmp_path_factory) -> str:
    return still_backbone(tiny_backbone, tmp_path_factory.mktemp("still") / "bert")


class Reports(Callback):
    """The report of every optimiser step."""

    def __init__(self):
        self.reports = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if outputs["report"] is not None:
            self.reports.append(outputs["report"])


def fit(backbone, directory, *, trainer=None, ckpt_path=None, objective=None, **settings):
    """A module trained on three batches by a term that often conflicts, and the reports of its steps."""
    data = tiny_data(backbone, synthetic_rows=24)
    objective = objective or WeightedObjective(SupervisedContrastive(0.1))
    module = tiny_module(backbone, data, objective=objective, **settings)
    reports = Reports()
    runner = tiny_trainer(directory, callbacks=[reports], **(trainer or {}))
    runner.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
    return module, reports.reports


def half_precision() -> dict:
    """16-mixed as on a GPU: Lightning itself offers the CPU bfloat16 only."""
    return {"plugins": [MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=256.0))]}


#: SGD-like sensitivity: without clipping the losses' scale shows.
@pytest.mark.parametrize("scope", SCOPES, ids=kind)
@pytest.mark.parametrize("rule", [ACLGrad(), ProtectedPCGrad()], ids=kind)
def test_mixed_precision_decides_as_float32_does(rule, scope, backbone, tmp_path):
    """Cosines of a first step; products under a loss scale of 256 are 2^16 times as large."""
    settings = {"gradient_rule": rule, "gradient_scope": scope}
    plain, expected = fit(backbone, tmp_path, trainer={"max_steps": 1}, **settings)
    for trainer, scale in (({"precision": "bf16-mixed"}, 1.0), (half_precision(), 2.0**16)):
        module, reports = fit(backbone, tmp_path, trainer={"max_steps": 1, **trainer}, **settings)
        products, wanted = reports[0].products_K / scale, expected[0].products_K
        assert products[0].item() == pytest.approx(wanted[0].item(), rel=0.1)
        assert products[1].item() == pytest.approx(wanted[1].item(), rel=0.3, abs=0.05 * wanted[0].item())
        assert not reports[0].skipped
        assert {tensor.dtype for tensor in weights(module).values()} == {torch.float32}
        assert furthest(weights(module), weights(plain)) < 3e-3


@pytest.mark.parametrize("scope", SCOPES, ids=kind)
def test_checkpointing_and_collectors_change_no_update(scope, backbone, tmp_path):
    settings = {"gradient_rule": ACLGrad(), "gradient_scope": scope}
    plain, expected = fit(backbone, tmp_path, **settings)
    variants = {
        "checkpointing": {"encoder": {"gradient_checkpointing": True}},
        "backward": {"gradient_collector": BackwardRows()},
        "batched": {"gradient_collector": BatchedRows()},
    }
    for name, variant in variants.items():
        module, reports = fit(backbone, tmp_path, **settings, **variant)
        assert furthest(weights(plain), weights(module)) < 1e-5, name
        assert [report.discarded for report in reports] == [report.discarded for report in expected], name


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_layers_train_alike(backbone, tmp_path, monkeypatch):
    settings = {"gradient_rule": ACLGrad(), "trainer": {"max_steps": 2}}
    plain, _ = fit(backbone, tmp_path, **settings)
    monkeypatch.setattr(compilation, "BACKEND", "eager")
    compilation.compiled.cache_clear()
    module, _ = fit(backbone, tmp_path, encoder={"compile_layers": True}, **settings)
    compilation.compiled.cache_clear()
    torch._dynamo.reset()
    assert furthest(weights(plain), weights(module)) < 1e-5


class Broken(CrossEntropy):
    """Never a number."""

    name = "broken"

    def per_exit(self, outputs, labels_B):
        return super().per_exit(outputs, labels_B) * math.nan


@pytest.mark.parametrize("broken", ["protected", "auxiliary"])
@pytest.mark.parametrize("scope", SCOPES, ids=kind)
def test_too_many_steps_in_a_row_without_a_finite_gradient_end_the_run(scope, broken, backbone, tmp_path):
    """Also where it is a term that the rule leaves out: it would be left out to the end without a word."""
    terms = {"protected": CrossEntropy(), "auxiliary": SupervisedContrastive()} | {broken: Broken()}
    objective = WeightedObjective(**terms)
    with pytest.raises(
        UserError, match=r"finite gradient of every term; found a gradient that is not finite in 2 steps in a row"
    ):
        fit(
            backbone, tmp_path, objective=objective, gradient_rule=ACLGrad(), gradient_scope=scope,
            optimization={"max_skipped_steps": 2},
        )  # fmt: skip


def test_a_resumed_run_keeps_the_decision_in_force(backbone, tmp_path):
    """Three steps an epoch, a check every four: the second epoch begins between two checks."""
    settings = {"gradient_rule": ACLGrad(), "check_every_n_steps": 4}
    whole, expected = fit(backbone, tmp_path, trainer={"max_epochs": 2}, **settings)
    assert len({tuple(report.products_K.tolist()) for report in expected}) == 2

    class Half(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 0:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    data = tiny_data(backbone, synthetic_rows=24)
    module = tiny_module(backbone, data, objective=WeightedObjective(SupervisedContrastive(0.1)), **settings)
    tiny_trainer(tmp_path, max_epochs=2, callbacks=[Half()]).fit(module, datamodule=data)
    again, reports = fit(backbone, tmp_path, trainer={"max_epochs": 2}, ckpt_path=tmp_path / "half.ckpt", **settings)
    assert len(reports) == 3
    assert [r.products_K.tolist() for r in reports] == [r.products_K.tolist() for r in expected[3:]]
    assert furthest(weights(whole), weights(again)) == 0


def test_a_sum_warns_of_a_scope_it_ignores(backbone, tmp_path):
    with pytest.warns(UserWarning, match="the rule Sum compares no gradients: scope ignored"):
        fit(backbone, tmp_path, gradient_rule=Sum(), gradient_scope=TopLayers())
