"""Frozen layers, low-rank adapters and layer-wise learning rates in training: gradients, resume, export."""

import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from training_runs import furthest, still_backbone, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.encoders import EncoderConfig, LoRASettings, layers_above
from acl_lightning.errors import UserError
from acl_lightning.export import load_export
from acl_lightning.gradients import ACLGrad, PerLayer, PerTensor, Representation, TopLayers
from acl_lightning.objectives import ACLObjective
from acl_lightning.runs import load_run
from acl_lightning.training.optimization import OptimizationConfig, parameter_groups

SETTINGS = {"frozen": {"frozen_layers": 2}, "lora": {"lora": LoRASettings(rank=2)}}


def first_epoch(path):
    """A callback that saves a checkpoint after the first epoch."""

    def save(trainer, module):
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(path)

    return LambdaCallback(on_train_epoch_end=save)


def rates(encoder, **settings):
    """Learning rate by name of the parameter."""
    named = list(encoder.named_parameters())
    config = OptimizationConfig(learning_rate=1.0, **settings)
    groups = parameter_groups(named, config, lambda name: layers_above(encoder, name))
    rate_of = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    return {name: rate_of[id(parameter)] for name, parameter in named if id(parameter) in rate_of}


def test_learning_rates_decay_from_the_deepest_exit_to_the_embeddings(tiny_backbone):
    encoder = EncoderConfig(backbone=tiny_backbone, exits=[1, 2]).build(2)
    found = rates(encoder, layer_decay=0.5, head_learning_rate=7.0)
    by_layer = {name.split(".")[4] if ".layer." in name else name.split(".")[0]: rate for name, rate in found.items()}
    assert by_layer == {"1": 1.0, "0": 0.5, "backbone": 0.25, "heads": 7.0}
    assert {name for name, rate in found.items() if rate == 0.25} == {
        name for name in found if name.startswith("backbone.model.embeddings.")
    }


def test_without_decay_the_groups_are_those_of_earlier_versions(tiny_backbone):
    encoder = EncoderConfig(backbone=tiny_backbone).build(2)
    groups = parameter_groups(encoder.named_parameters(), OptimizationConfig(head_learning_rate=2.0))
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [
        (5e-5, 0.01),
        (5e-5, 0.0),
        (2.0, 0.01),
        (2.0, 0),
    ]
    decayed = rates(encoder, layer_decay=1.0)
    assert set(decayed.values()) == {1.0}


@pytest.mark.parametrize("decay", [0.0, -1.0, 1.5])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(UserError, match=r"a factor in \(0, 1\], or null; found .*model.optimization.layer_decay"):
        OptimizationConfig(layer_decay=decay).check()


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        ("frozen", None),
        ("frozen", TopLayers(1)),
        ("frozen", PerTensor()),
        ("lora", PerLayer()),
        ("lora", Representation()),
    ],
)
def test_frozen_parameters_enter_no_gradient_and_do_not_change(kind, scope, tiny_backbone, tmp_path):
    data = tiny_data(tiny_backbone)
    module = tiny_module(
        tiny_backbone,
        data,
        encoder=SETTINGS[kind],
        objective=ACLObjective(),
        gradient_rule=ACLGrad(),
        gradient_scope=scope,
        optimization={"layer_decay": 0.8},
    )
    trained = [name for name, parameter in module.encoder.named_parameters() if parameter.requires_grad]
    before = weights(module)
    tiny_trainer(tmp_path, limit_train_batches=2).fit(module, data)
    assert module.step.names == trained
    changed = {name for name, value in weights(module).items() if not torch.equal(value, before[name])}
    assert {name for name in changed if "heads" in name}
    assert {name for name in changed if "backbone" in name}
    assert changed <= {f"encoder.{name}" for name in trained}
    assert all(p.grad is None for p in module.encoder.parameters() if not p.requires_grad)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_resumed_run_equals_an_uninterrupted_one(kind, tiny_backbone, tmp_path):
    backbone = still_backbone(tiny_backbone, tmp_path / "still")
    data = tiny_data(backbone)
    settings = {"encoder": SETTINGS[kind], "objective": ACLObjective(), "gradient_rule": ACLGrad()}
    settings["optimization"] = {"layer_decay": 0.5}
    checkpoint = tmp_path / "first.ckpt"
    whole = tiny_module(backbone, data, **settings)
    tiny_trainer(tmp_path, max_epochs=2, callbacks=[first_epoch(checkpoint)]).fit(whole, data)
    resumed = tiny_module(backbone, data, **settings)
    tiny_trainer(tmp_path, max_epochs=2).fit(resumed, tiny_data(backbone), ckpt_path=checkpoint)
    assert furthest(weights(whole), weights(resumed)) == 0

    other = tiny_module(backbone, data, encoder={"lora": LoRASettings(rank=4)})
    with pytest.raises(UserError, match=r"a checkpoint with lora \{'rank': 4"):
        other.on_load_checkpoint(torch.load(checkpoint, weights_only=True))


def test_a_run_with_adapters_is_exported_merged(command, tmp_path):
    settings = ("--model.encoder.lora.rank=2", "--model.encoder.lora.target_modules=[query, value]")
    code, error = command("fit", *settings, "--model.optimization.layer_decay=0.9", f"--run_dir={tmp_path / 'run'}")
    assert code == 0, error
    code, error = command("export", str(tmp_path / "run"), "--out", str(tmp_path / "export"), defaults=False)
    assert code == 0, error
    model, _ = load_export(tmp_path / "export")
    assert not [name for name in model.state_dict() if "lora" in name]
    module, data = load_run(tmp_path / "run")
    batch = next(iter(data.val_dataloader()))
    with torch.no_grad():
        expected_BC = module.eval()(batch).logits_EBC[-1]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    assert model.config.temperatures is None
    torch.testing.assert_close(model(**inputs).logits, expected_BC, atol=1e-5, rtol=0)


def test_a_misspelt_target_is_one_line_of_the_command(command):
    code, error = command("fit", "--model.encoder.lora.target_modules=[querry]")
    assert code == 2
    assert "found 'querry'" in error
    assert "Traceback" not in error
