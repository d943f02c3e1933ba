"""`fit`, `predict`, `export` and the commands that read a run, on images."""

import csv
import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from image_files import write_image, write_pets
from PIL import Image
from tiny_models import images, tiny
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    ViTConfig,
    ViTModel,
)

from acl_lightning.cli import main
from acl_lightning.data.images import ImageDataModule
from acl_lightning.data.images.folders import ImageFormat
from acl_lightning.data.images.transforms import normalized
from acl_lightning.encoders import EXIT_ROWS, ExitHead, MultiExitEncoder, full_depth_flops
from acl_lightning.encoders.registry import ADAPTERS
from acl_lightning.errors import UserError
from acl_lightning.latency.plain_model import plain_image_model
from acl_lightning.runs import load_run, read_result
from acl_lightning.runs.records import read_exit_logits

CONF = Path(__file__).parents[2] / "conf"
QUICK = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.logger=false")
SCRATCH = (
    "--model.encoder.backbone=package:acl_lightning/encoders/architectures/vit-digits",
    "--model.encoder.random_init=true",
)
SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2")

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A run of the shipped configuration of the digits, with ACF, after two steps."""
    run = tmp_path_factory.mktemp("runs") / "digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["acl_lightning"])
        configs = [f"--config={CONF / name}" for name in ("fit/digits.yaml", "objective/acf.yaml")]
        assert main(["fit", *configs, *QUICK, *SHORT, f"--run_dir={run}"]) == 0
    return run


@pytest.fixture(scope="module")
def digits_export(digits_run):
    out = digits_run.parent / "export"
    assert main(["export", str(digits_run), "--out", str(out)]) == 0
    return out


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_on_digits_is_swept_and_predicts(digits_run, command, tmp_path):
    result = json.loads((digits_run / "result.json").read_text())
    assert (result["task"], result["label_names"]) == ("digits", list("0123456789"))
    assert (digits_run / "exit_sweep.csv").stat().st_size > 1000
    checkpoint = f"--ckpt_path={digits_run}/checkpoints/best.ckpt"
    point = ("--exit.criterion=Static", "--exit.threshold=2", "--run_dir=out")
    code, error = command("predict", f"--config={digits_run}/config.yaml", checkpoint, *QUICK, *point, defaults=False)
    assert (code, error) == (0, "")
    rows = lines(tmp_path / "out/predictions.jsonl")
    assert [(row["index"], row["exit_layer"]) for row in rows] == [(number, 2) for number in range(359)]
    module, data = load_run(digits_run)
    pixels_BCHW = data.rows("validation").__getitems__(list(range(5)))["pixel_values"]
    with torch.no_grad():
        logits_EBC = module.encoder(pixel_values=pixels_BCHW).logits_EBC
    assert [row["label"] for row in rows[:5]] == [str(index) for index in logits_EBC[1].argmax(dim=-1).tolist()]


def test_points_and_curves_read_a_run_on_images(digits_run, tmp_path, capsys):
    assert main(["points", str(digits_run), "--speed", "2"]) == 0
    assert "speed2" in capsys.readouterr().out
    assert main(["curves", str(digits_run), "--out", str(tmp_path / "curves")]) == 0
    assert list((tmp_path / "curves").glob("*.png"))


def test_an_export_classifies_image_files_as_the_run_does(digits_run, digits_export):
    module, data = load_run(digits_run)
    pixels_8x8 = np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8)  # is resized
    image = Image.fromarray(pixels_8x8)
    batch = AutoImageProcessor.from_pretrained(digits_export)(image, return_tensors="pt")
    rows = data.rows("validation")
    expected = normalized(ImageFormat(8, 1).tensor(image), *data.normalization)
    torch.testing.assert_close(batch["pixel_values"][0], expected)
    digits = {"pixel_values": rows.__getitems__([0, 1, 2])["pixel_values"]}
    model = AutoModelForImageClassification.from_pretrained(digits_export)
    with torch.no_grad():
        expected_EBC = module.encoder(**digits).logits_EBC
    temperature = (model.config.temperatures or [1.0])[-1]
    torch.testing.assert_close(model(**digits).logits, expected_EBC[-1] / temperature)
    assert model(**digits, operating_point="drop1").exit_layer.shape == (3,)
    assert model.config.id2label[9] == "9"
    card = (digits_export / "README.md").read_text()
    assert "pipeline_tag: image-classification" in card
    assert "- Input: a grey image, resized to 8 x 8 pixels" in card
    assert "token" not in card.partition("## Limits")[0].lower()


def test_an_export_of_a_model_of_images_is_loaded_as_none_of_texts(digits_export, capsys):
    with pytest.raises(UserError, match="expected AutoModelForImageClassification for an export of a model of images"):
        AutoModelForSequenceClassification.from_pretrained(digits_export)
    assert main(["demo", str(digits_export)]) == 2
    assert "found one of a model of images. Load it with AutoModelForImageClassification" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "--out=out", "--onnx"),
        ("export", "--out=out", "--format=onnx"),
        ("latency", "--out=out", "--data=texts.txt"),
        ("demo",),
    ],
    ids=" ".join,
)
def test_commands_for_texts_refuse_a_run_on_images(digits_run, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([arguments[0], str(digits_run), *arguments[1:]]) == 2
    error = capsys.readouterr().err
    assert "expected a run on texts; found" in error
    assert "ImageDataModule has no tokenizer" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_images_of_a_run_are_timed(digits_run, tmp_path, capsys):
    options = ("--mode", "latency", "batch", "--rows=6", "--batch_size=4", "--repeats=1", f"--out={tmp_path}")
    assert main(["latency", str(digits_run), *options]) == 0
    assert "6 samples of 5 tokens, batches of 4" in capsys.readouterr().out  # [CLS] and four patches
    rows = list(csv.DictReader((tmp_path / "latency.csv").read_text().splitlines()))
    full = [row for row in rows if row["operating_point"] == "full_depth"]
    assert [(row["mode"], float(row["flops_speedup"])) for row in full] == [("latency", 1), ("batch", 1)]
    assert {float(row["layer_speedup"]) for row in full} == {1}
    exits = csv.DictReader((tmp_path / "exit_latency.csv").read_text().splitlines())
    assert [row["exit_layer"] for row in exits] == list("123456")
    table = ("--table", str(tmp_path / "exit_latency.csv"))
    assert main(["points", str(digits_run), "--measured-speed", "1", *table]) == 0


@pytest.mark.parametrize("family", ["vit", "deit", "dinov2"])
def test_the_plain_model_of_images_has_all_layers(family):
    heads = [ExitHead(24, 3, pooler=False, pretrained_pooler=None, dropout=0.0)]
    backbone = ADAPTERS[family](tiny(family))
    depth = backbone.depth
    encoder = MultiExitEncoder(backbone, (1,), [EXIT_ROWS["cls"](24)], heads)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        logits_BC = plain_image_model(encoder, torch.device("cpu"))(**images(2)).logits
    assert logits_BC.shape == (2, 3)
    # The plain model computes its last layer whole, so it computes more than the reference of the FLOPs speed-up.
    full = 2 * full_depth_flops(encoder, backbone.max_tokens)
    assert full < counter.get_total_flops() < full * (depth + 1) / depth


@pytest.fixture
def torchvision(monkeypatch):
    """A module with a transform as torchvision documents it: a module with `p` whose draws are those of torch."""

    class RandomHorizontalFlip(torch.nn.Module):
        def __init__(self, p: float = 0.5) -> None:
            super().__init__()
            self.p = p

        def forward(self, *inputs):
            (image_CHW,) = inputs
            return image_CHW.flip(-1) if torch.rand(1) < self.p else image_CHW

    path = "torchvision.transforms.v2._geometry"
    RandomHorizontalFlip.__module__, RandomHorizontalFlip.__qualname__ = path, "RandomHorizontalFlip"
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        module = types.ModuleType(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
        if end > 1:
            setattr(sys.modules[".".join(parts[: end - 1])], parts[end - 1], module)
    for name in ("torchvision.transforms.v2", path):
        sys.modules[name].RandomHorizontalFlip = RandomHorizontalFlip
    return RandomHorizontalFlip


def test_transforms_of_torchvision_are_used_and_trusted_by_name(command, torchvision, tmp_path):
    write_pets(tmp_path / "pets")
    transforms = '[{"class_path": "torchvision.transforms.v2.RandomHorizontalFlip", "init_args": {"p": 1.0}}]'
    own = ("--data.root=pets", "--data.image_size=8", "--data.channels=1", f"--data.train_transforms={transforms}")
    arguments = ("--config=fit/images.yaml", *own, *SCRATCH, *QUICK, *SHORT, "--run_dir=run")
    code, error = command("fit", *arguments, defaults=False)
    assert code == 0, error
    assert json.loads((tmp_path / "run/result.json").read_text())["data"]["transforms"] == ["RandomHorizontalFlip"]
    with pytest.raises(UserError, match=r"--trust torchvision"):
        load_run(tmp_path / "run")
    trusted = ("--trust=torchvision", "--config=run/config.yaml", "--ckpt_path=run/checkpoints/best.ckpt")
    assert command("predict", *trusted, *QUICK, "--run_dir=out", defaults=False) == (0, "")


def test_a_transform_of_torchvision_changes_training_images_only(torchvision, tmp_path):
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for name in ("a", "b"):
        (tmp_path / "x" / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(pixels).save(tmp_path / "x" / name / f"{number}.png")
    data = ImageDataModule(
        str(tmp_path / "x"), image_size=8, channels=1, mean=0, std=1, train_transforms=[torchvision(1)]
    )
    plain = torch.from_numpy(pixels)[None] / 255
    torch.testing.assert_close(data.rows("train").__getitems__([0])["pixel_values"][0], plain.flip(-1))
    torch.testing.assert_close(data.rows("validation").__getitems__([0])["pixel_values"][0], plain)


def test_images_select_on_training_images(command, tmp_path):
    write_pets(tmp_path / "pets", rows=20)
    protocol = ("--data.selection=train", "--data.selection_rows=8", "--exit_sweep.calibrate=true")
    own = ("--data.root=pets", "--data.image_size=8", "--data.channels=1", "--data.batch_size=4", *SCRATCH, *protocol)
    code, error = command("fit", "--config=fit/images.yaml", *own, *QUICK, *SHORT, "--run_dir=run", defaults=False)
    assert code == 0, error
    result, record = read_result(tmp_path / "run"), read_exit_logits(tmp_path / "run")
    assert result.report["samples"] == {"selection": 8, "report": 8, "selection_from": "train"}
    assert (result.data["train_rows"], result.data["selection_rows"]) == (24, 8)
    assert record.index_B[~record.selection_B].tolist() == list(range(8))
    _, data = load_run(tmp_path / "run")
    assert data.selection == "train"


def test_a_folder_is_fitted_and_predicts_without_its_training_images(command, tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    ViTModel(ViTConfig(**sizes, image_size=8, patch_size=4)).save_pretrained(tmp_path / "vit")
    write_pets(tmp_path / "pets")
    own = ("--data.root=pets", "--data.image_size=8", "--model.encoder.backbone=vit", "--data.batch_size=4")
    code, error = command("fit", "--config=fit/images.yaml", *own, *QUICK, *SHORT, "--run_dir=run", defaults=False)
    assert code == 0, error
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["data"]["label_names"] == ["cat", "dog"]
    assert (tmp_path / "run/confusion.csv").stat().st_size > 0
    shutil.rmtree(tmp_path / "pets")
    write_image(tmp_path / "new/1.png", 12)
    checkpoint = "--ckpt_path=run/checkpoints/best.ckpt"
    arguments = ("--config=run/config.yaml", checkpoint, "--data.predict=new", "--run_dir=out", *QUICK)
    assert command("predict", *arguments, defaults=False) == (0, "")
    (row,) = lines(tmp_path / "out/predictions.jsonl")
    assert (row["image"], row["label"] in {"cat", "dog"}) == ("1.png", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data.root=none",), "expected a folder of images at none; found none"),
        (("--data.root=pets", "--data.channels=2"), "expected data.channels to be 1 (grey) or 3 (colour); found 2."),
        (("--data.root=pets", "--data.task=rte"), "expected the name of a setting; found data.task."),
        (("--data.root=pets", "--data.metrics=[pearson]", *SCRATCH), "for 2 classes; found pearson. Set data.metrics"),
    ],
)
def test_mistakes_are_one_line(command, tmp_path, arguments, message):
    write_pets(tmp_path / "pets")
    code, error = command("fit", "--config=fit/images.yaml", *arguments, *QUICK, defaults=False)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
