"""Runs on images: fit with ACF and ACL, the sweep of the exits, adaptive prediction."""

import csv
import json

import pytest
import torch
from image_files import write_image, write_pets
from training_runs import tiny_trainer
from transformers import ViTConfig

from acl_lightning.callbacks import ExitSweep
from acl_lightning.callbacks.prediction.adaptive_prediction import AdaptivePrediction
from acl_lightning.data.images import ImageDataModule, RandomShift
from acl_lightning.encoders import EncoderConfig
from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence
from acl_lightning.gradients import ACLGrad
from acl_lightning.objectives import ACFObjective
from acl_lightning.training.module import ACLModule

SMALL = {"image_size": 8, "channels": 1, "batch_size": 4}


@pytest.fixture
def architecture(tmp_path):
    """Directory with the configuration of a small ViT, without weights."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    config = ViTConfig(**sizes, image_size=8, patch_size=4, num_channels=1, initializer_range=0.2)
    config.save_pretrained(tmp_path / "vit")
    return str(tmp_path / "vit")


def module_for(data, architecture, **settings):
    torch.manual_seed(0)
    encoder = EncoderConfig(backbone=architecture, random_init=True)
    names = {"label_names": data.label_names, "metric_names": data.metrics}
    return ACLModule(encoder, **names, **settings)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_images_are_fitted_swept_and_predicted(architecture, tmp_path):
    write_image(tmp_path / "new/1.png", 12)
    write_image(tmp_path / "new/2.png", 205)
    data = ImageDataModule(
        str(write_pets(tmp_path / "pets")), predict=str(tmp_path / "new"), train_transforms=[RandomShift(1)], **SMALL
    )
    module = module_for(data, architecture, objective=ACFObjective(), gradient_rule=ACLGrad())
    run = tmp_path / "run"
    callbacks = [ExitSweep(), AdaptivePrediction(Confidence(), 0.5)]
    trainer = tiny_trainer(run, max_epochs=1, limit_val_batches=1.0, callbacks=callbacks)
    trainer.fit(module, data)
    trainer.validate(module, data, verbose=False)
    rows = list(csv.DictReader((run / "exit_sweep.csv").read_text().splitlines()))
    assert {row["criterion"] for row in rows} >= {"static", "confidence"}
    assert all(float(row["flops_speedup"]) > 0 for row in rows)
    trainer.predict(module, data, return_predictions=False)
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    assert [(line["index"], line["image"]) for line in lines] == [(0, "1.png"), (1, "2.png")]
    assert all(line["label"] in {"cat", "dog"} and line["exit_layer"] == 1 for line in lines)


def test_images_of_another_size_than_the_backbone_are_refused(architecture, tmp_path):
    folder = write_pets(tmp_path / "pets")
    data = ImageDataModule(str(folder), **{**SMALL, "image_size": 10})
    module = module_for(data, architecture)
    with pytest.raises(UserError, match=r"images of 1 x 8 x 8 .*; found 1 x 10 x 10\. Set data.image_size to 8"):
        tiny_trainer(tmp_path).fit(module, data)


def test_the_shipped_architecture_fits_the_digits():
    backbone = "package:acl_lightning/encoders/architectures/vit-digits"
    encoder = EncoderConfig(backbone=backbone, random_init=True).build(10).eval()
    data = ImageDataModule(image_size=8, channels=1)
    batch = data.rows("validation").__getitems__([0, 1, 2])
    with torch.no_grad():
        assert encoder(pixel_values=batch["pixel_values"]).logits_EBC.shape == (6, 3, 10)
    with pytest.raises(UserError, match=r"to load the backbone .*vit-digits"):
        EncoderConfig(backbone=backbone).build(10)  # there are no weights
