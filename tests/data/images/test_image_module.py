"""The DataModule of images: sources, splits, augmentation, and refused settings."""

import datasets
import pytest
import torch
from image_files import write_image, write_pets
from PIL import Image
from torch import nn

from acl_lightning.data.images import ImageDataModule, RandomShift
from acl_lightning.errors import UserError

SMALL = {"image_size": 8, "channels": 1, "batch_size": 4}


@pytest.fixture
def folder(tmp_path):
    return write_pets(tmp_path / "pets")


class Noise(nn.Module):
    """Adds a random number to an image."""

    def forward(self, image_CHW):
        return image_CHW + torch.randint(100, (1,), dtype=torch.uint8)


def test_class_folders_are_split_into_training_and_validation(folder):
    data = ImageDataModule(str(folder), **SMALL)
    assert (data.task_name, data.label_names, data.num_labels) == ("pets", ["cat", "dog"], 2)
    data.setup("fit")
    train, validation = data.rows("train"), data.rows("validation")
    assert (len(train), len(validation)) == (16, 4)
    assert not {*train.table.names} & {*validation.table.names}
    assert validation.columns["labels"].tolist() == [0, 0, 1, 1]
    assert validation.columns["selection"].sum() == 2
    assert data.class_counts().tolist() == [8, 8]
    assert all(name.startswith(("cat/", "dog/")) for name in train.table.names)


def test_a_batch_has_normalised_pixels_labels_and_indices(folder):
    data = ImageDataModule(str(folder), mean=0.25, std=0.5, **SMALL)
    batch = data.rows("validation").__getitems__([0, 3])
    assert batch.keys() == {"pixel_values", "labels", "index", "selection"}
    assert batch["pixel_values"].shape == (2, 1, 8, 8)
    name = data.rows("validation").table.names[3]
    value = 200 + int(name.partition("/")[2].removesuffix(".png"))
    assert batch["pixel_values"][1].unique().item() == pytest.approx((value / 255 - 0.25) / 0.5, abs=1e-6)
    assert (batch["labels"].tolist(), batch["index"].tolist()) == ([0, 1], [0, 3])


def test_images_are_resized_and_converted(tmp_path):
    write_image(tmp_path / "x/a/1.png", 51, size=30)
    write_image(tmp_path / "x/b/1.gif", 102, size=3)
    data = ImageDataModule(str(tmp_path / "x"), image_size=6, channels=3, mean=0.0, std=1.0, label_names=["a", "b"])
    table = data._splits.load(["a", "b"])["train"]
    assert [table.load(row).shape for row in range(2)] == [(3, 6, 6)] * 2
    assert [table.load(row).unique().tolist() for row in range(2)] == [[51], [102]]


def test_splits_in_folders_are_used_as_they_are(tmp_path):
    for split, rows in (("train", 4), ("validation", 3), ("test", 2)):
        write_pets(tmp_path / "root" / split, rows)
    data = ImageDataModule(str(tmp_path / "root"), **SMALL)
    assert [len(data.rows(split)) for split in ("train", "validation", "test")] == [8, 6, 4]
    assert sum(len(batch["index"]) for batch in data.test_dataloader()) == 4


def test_without_a_test_split_the_validation_split_is_tested(folder):
    data = ImageDataModule(str(folder), **SMALL)
    assert data.rows("test").table.names == data.rows("validation").table.names


def test_a_folder_without_labels_is_predicted(folder, tmp_path):
    write_image(tmp_path / "new/deep/7.png", 7)
    write_image(tmp_path / "new/8.png", 8)
    data = ImageDataModule(str(folder), predict=str(tmp_path / "new"), **SMALL)
    (batch,) = data.predict_dataloader()
    assert batch.keys() == {"pixel_values", "index"}
    assert data.prediction_fields(batch) == [{"image": "8.png"}, {"image": "deep/7.png"}]
    before = data.prediction_hash()
    write_image(tmp_path / "new/8.png", 9, size=50)
    assert ImageDataModule(str(folder), predict=str(tmp_path / "new"), **SMALL).prediction_hash() != before


def test_a_saved_data_set_is_read(tmp_path):
    features = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=["dark", "bright"])})
    images = [Image.new("RGB", (8, 8), (value,) * 3) for value in (3, 250, 4, 251)]
    rows = datasets.Dataset.from_dict({"img": images, "kind": [0, 1, 0, 1]}, features=features)
    datasets.DatasetDict({"train": rows, "validation": rows}).save_to_disk(tmp_path / "saved")
    data = ImageDataModule(dataset=str(tmp_path / "saved"), image="img", label="kind", mean=0, std=1, **SMALL)
    assert data.label_names == ["dark", "bright"]
    batch = data.rows("validation").__getitems__([1])
    assert batch["pixel_values"].unique().item() == pytest.approx(250 / 255)
    assert batch["labels"].tolist() == [1]
    with pytest.raises(UserError, match=r"column of classes .*has: kind\); found 'label'\. Set data.label"):
        ImageDataModule(dataset=str(tmp_path / "saved"), image="img", **SMALL)
    with pytest.raises(UserError, match=r"column of images .*has: img\); found 'image'"):
        ImageDataModule(dataset=str(tmp_path / "saved"), label="kind", **SMALL).rows("train")


def test_class_folders_in_the_layout_of_the_hub_are_read(tmp_path):
    for split, rows in (("train", 6), ("test", 3)):
        (write_pets(tmp_path / "hub" / split, rows) / "notes.txt").unlink()
    data = ImageDataModule(dataset=str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"), mean=0, std=1, **SMALL)
    assert (data.task_name, data.label_names) == ("hub", ["cat", "dog"])
    assert [len(data.rows(split)) for split in ("train", "validation", "test")] == [10, 2, 6]
    batch = data.rows("test").__getitems__(list(range(6)))
    bright = batch["pixel_values"].flatten(1).mean(dim=1) > 0.5
    assert bright.long().tolist() == batch["labels"].tolist()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"the data set .*empty on the hub, in the cache or in a directory; found "):
        ImageDataModule(dataset=str(tmp_path / "empty"), **SMALL)


def test_a_data_set_without_a_training_split_is_refused(tmp_path):
    rows = datasets.Dataset.from_dict({"image": ["x"], "label": [0]})
    datasets.DatasetDict({"learn": rows}).save_to_disk(tmp_path / "splits")
    rows.save_to_disk(tmp_path / "single")
    for name, found in (("splits", "learn"), ("single", "a single split")):
        with pytest.raises(UserError, match=rf"a split named train in .*{name}; found {found}\."):
            ImageDataModule(dataset=str(tmp_path / name), **SMALL)


def test_the_digits_need_no_network():
    data = ImageDataModule(**SMALL)
    data.setup("fit")
    assert (data.task_name, data.num_labels) == ("digits", 10)
    assert len(data.rows("train")) + len(data.rows("validation")) == 1797
    assert data.rows("validation").columns["labels"].bincount().min() >= 34  # stratified: a fifth of 174 to 183
    assert data.rows("train").table.load(0).dtype == torch.uint8


def batches(data, epoch, first=0):
    """Training batches of an epoch, from batch `first` on."""
    loader = data.train_dataloader()
    loader.batch_sampler.sampler.set_epoch(epoch)
    if first:
        loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "batches": first})
    return [batch["pixel_values"] for batch in loader]


def test_augmentation_depends_on_seed_epoch_and_row_only(folder):
    def data(**changes):
        return ImageDataModule(str(folder), train_transforms=[Noise()], **{**SMALL, "shuffle_seed": 1, **changes})

    state = torch.random.get_rng_state()
    whole = batches(data(), 2)
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(3)
    assert all(torch.equal(*pair) for pair in zip(whole[1:], batches(data(), 2, first=1), strict=True))
    assert all(torch.equal(*pair) for pair in zip(whole, batches(data(num_workers=1), 2), strict=True))
    assert {*map(float, torch.cat(whole).flatten())} != {*map(float, torch.cat(batches(data(), 3)).flatten())}
    plain = ImageDataModule(str(folder), **SMALL).rows("validation").__getitems__([0])
    assert torch.equal(data().rows("validation").__getitems__([0])["pixel_values"], plain["pixel_values"])


def test_a_shift_moves_the_pixels_and_fills_with_zeros():
    image_CHW = torch.zeros(1, 5, 5, dtype=torch.uint8)
    image_CHW[0, 2, 2] = 9
    torch.manual_seed(0)
    places = {tuple(RandomShift(1)(image_CHW).nonzero()[0].tolist()) for _ in range(200)}
    assert places == {(0, row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    with pytest.raises(UserError, match=r"a shift of 0 pixels or more; found -1"):
        RandomShift(-1)


def test_an_image_that_does_not_open_is_named(folder):
    broken = folder / "cat/broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"an image in .*cat/broken\.png; found .*data\.skip_unreadable=true"):
        ImageDataModule(str(folder), **SMALL).rows("train")
    data = ImageDataModule(str(folder), skip_unreadable=True, **SMALL)
    with pytest.warns(UserWarning, match=r"1 of 21 images in .*pets do not open and are left out, .*broken\.png first"):
        data.rows("train")
    assert len(data.rows("train")) + len(data.rows("validation")) == 20


def test_a_truncated_image_is_named_when_it_is_loaded(folder):
    path = folder / "dog/noise.jpg"
    Image.effect_noise((64, 64), 90).save(path)
    path.write_bytes(path.read_bytes()[:900])  # the header is complete
    data = ImageDataModule(str(folder), predict=str(folder / "dog"), **SMALL)
    rows = data.rows("predict")
    with pytest.raises(UserError, match=r"an image in .*dog/noise\.jpg; found .*truncated"):
        rows.__getitems__([rows.table.names.index("noise.jpg")])
    with pytest.warns(UserWarning, match=r"1 of 21 images"):
        ImageDataModule(str(folder), skip_unreadable=True, **SMALL).rows("train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"root": "nowhere"}, r"a folder of images at nowhere; found none\. Set data.root"),
        ({"root": "x", "dataset": "y"}, r"data.root or data.dataset; found both"),
        ({"channels": 2}, r"1 \(grey\) or 3 \(colour\); found 2"),
        ({"mean": [0.1, 0.2]}, r"data.mean with 1 numbers, one per channel; found 2"),
        ({"std": 0.0}, r"data.std above 0; found 0"),
        ({"image_size": 28}, r"other than the handwritten digits of 8 x 8 .*1 channels of 28 pixels\. Set data.root"),
        ({"validation_share": 0.7}, r"data.validation_share above 0 and up to 0.5; found 0.7"),
        ({"dataset": "nobody/nothing"}, r"the data set nobody/nothing on the hub, in the cache or in .*data.root"),
        ({"batch_size": 0}, r"--data.batch_size of at least 1; found 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        ImageDataModule(**{**SMALL, **settings})


def test_folders_without_classes_and_unknown_classes_are_refused(folder, tmp_path):
    write_image(tmp_path / "one/cat/1.png", 1)
    with pytest.raises(UserError, match=r"at least two class folders in .*one; found cat\. Store"):
        ImageDataModule(str(tmp_path / "one"), **SMALL)
    write_pets(tmp_path / "root/train")
    write_image(tmp_path / "root/validation/cow/1.png", 1)
    write_image(tmp_path / "root/validation/cat/1.png", 1)
    with pytest.raises(UserError, match=r"class folders among cat, dog in .*validation; found 'cow'"):
        ImageDataModule(str(tmp_path / "root"), **SMALL).rows("train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"images \(.bmp, .*\) in .*empty; found none"):
        ImageDataModule(str(folder), predict=str(tmp_path / "empty"), **SMALL).rows("predict")


def test_validation_runs_over_training_images_and_the_whole_validation_split(folder):
    settings = {"selection": "train", "selection_rows": 6, "train_rows": 8, "eval_batch_size": 3, **SMALL}
    data = ImageDataModule(str(folder), train_transforms=[Noise()], **settings)
    data.setup("fit")
    seen = {name: torch.cat([batch[name] for batch in data.val_dataloader()]) for name in ("index", "selection")}
    selection = seen["selection"]
    assert seen["index"][~selection].tolist() == list(range(4))
    selected = (seen["index"][selection] - 4).tolist()
    trained = [row for batch in data.train_dataloader() for row in batch["index"].tolist()]
    assert (len(set(selected)), len(set(trained)), set(selected) & set(trained)) == (6, 8, set())
    assert 0 < int(selection[:4].sum()) < 4, "the beginning has images of both splits"
    plain = ImageDataModule(str(folder), **SMALL)  # the same training split
    pixels = torch.cat([batch["pixel_values"] for batch in data.val_dataloader()])[selection]
    assert torch.equal(pixels, plain.rows("train").__getitems__(selected)["pixel_values"]), "without augmentation"
    assert [data.texts("train", row) for row in trained] == [plain.texts("train", row) for row in trained]
    labels = torch.cat([batch["labels"] for batch in data.val_dataloader()])[selection]
    assert labels.tolist() == plain.rows("train").columns["labels"][selected].tolist()
    assert "selection" not in next(iter(data.test_dataloader()))
    record = data.describe()
    assert (record["selection"], record["train_rows"], record["selection_rows"]) == ("train", 8, 6)
    assert record["protocol"].endswith("reported on the whole validation split")
    assert plain.describe()["protocol"].startswith("selected and reported on disjoint parts of the validation split")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"selection": "test"}, "--data.selection among validation, train; found 'test'"),
        ({"selection": "train", "selection_rows": 16}, "16 training split of pets; found 16 selection rows and"),
        ({"train_rows": 17}, "--data.train_rows up to 16 for pets; found 17"),
    ],
)
def test_selection_settings_are_checked_as_those_of_texts(folder, settings, message):
    with pytest.raises(UserError) as error:
        ImageDataModule(str(folder), **settings, **SMALL).setup("fit")
    assert message.replace("16 training split", "16 rows of the training split") in str(error.value)


def test_settings_that_a_run_stores(folder):
    settings = {"root": str(folder), "label_names": None, "name": None, "dataset": None, "train_transforms": []}
    assert ImageDataModule.completed(settings | SMALL) == {"label_names": ["cat", "dog"]}
    assert ImageDataModule.completed(settings | {"label_names": ["a"]}) == {}
    assert ImageDataModule.run_name(settings) == "pets"
    assert ImageDataModule.run_name(settings | {"root": None}) == "digits"
    assert ImageDataModule.run_name(settings | {"name": "zoo"}) == "zoo"
