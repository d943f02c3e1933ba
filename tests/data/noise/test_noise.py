"""Label noise and text noise: amounts, repeatability, and rows that stay clean."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_runs import tiny_data

from acl_lightning.data.noise import CharacterNoise, NoiseSequence, WordNoise, flip_labels
from acl_lightning.data.noise.characters import NEIGHBOURS
from acl_lightning.errors import UserError

NOWHERE = Path("/nowhere")
TEXT = "The quick brown fox jumps over the lazy dog, twice."


def changed(noise, texts, first=0):
    return noise.apply(texts, [f"{first + number}" for number in range(len(texts))], NOWHERE)


# --- labels -----------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=60), rate=st.floats(0, 1), seed=st.integers(0, 99))
def test_exactly_the_share_of_labels_is_wrong_and_more_noise_contains_less(labels, rate, seed):
    noisy, whole = (flip_labels(labels, 4, share, seed) for share in (rate, 1.0))
    wrong = [row for row in range(len(labels)) if noisy[row] != labels[row]]
    assert len(wrong) == round(rate * len(labels))
    assert all(noisy[row] == whole[row] for row in wrong)
    assert all(label != clean for label, clean in zip(whole, labels, strict=True))
    assert set(noisy) <= {0, 1, 2, 3}


def test_wrong_labels_are_uniform_over_the_other_classes_and_stratified():
    labels = [0] * 3000 + [1] * 1500 + [2] * 1500
    noisy = flip_labels(labels, 3, 0.4, seed=3)
    pairs = Counter(zip(labels, noisy, strict=True))
    assert [pairs[label, label] for label in range(3)] == [1800, 900, 900]
    # 1200 draws between two classes: the standard deviation is 17.3.
    assert abs(pairs[0, 1] - 600) < 70
    assert flip_labels(labels, 3, 0.4, seed=4) != noisy


# --- texts ------------------------------------------------------------------------------------------------------------

NOISES = {
    "characters": CharacterNoise,
    "words": WordNoise,
    "both": lambda rate: NoiseSequence([WordNoise(rate), CharacterNoise(rate)]),
}


@pytest.mark.parametrize("kind", NOISES)
@settings(max_examples=30)
@given(texts=st.lists(st.text(min_size=1, max_size=30), max_size=4), rate=st.floats(0, 1))
def test_any_text_is_changed_repeatably_and_never_becomes_empty(kind, texts, rate):
    noise = NOISES[kind](rate)
    first = changed(noise, texts)
    assert first == changed(noise, texts)
    assert all(bool(new.strip()) == bool(old.strip()) for new, old in zip(first, texts, strict=True))
    assert changed(NOISES[kind](0.0), texts) == texts


@pytest.mark.parametrize("kind", NOISES)
def test_a_text_has_the_same_noise_in_every_subset(kind):
    texts = [f"{TEXT} {number}" for number in range(8)]
    noise = NOISES[kind](0.3)
    assert changed(noise, texts)[5:] == changed(noise, texts[5:], first=5)
    assert len(set(changed(noise, [TEXT] * 8))) == 8


def test_the_rate_is_the_share_of_characters():
    text = "a" * 20_000
    (dropped,) = changed(CharacterNoise(0.1, ["drop"]), [text])
    assert len(dropped) == pytest.approx(18_000, abs=250)  # six standard deviations
    (inserted,) = changed(CharacterNoise(0.1, ["insert"]), [text])
    assert len(inserted) == pytest.approx(22_000, abs=250)
    (mistyped,) = changed(CharacterNoise(0.1, ["keyboard"]), [text])
    counts = Counter(mistyped)
    assert counts.pop("a") == pytest.approx(18_000, abs=250)
    assert set(counts) == set("qwsz") == set(NEIGHBOURS["a"])


def test_every_edit_does_what_its_name_says():
    assert changed(CharacterNoise(1.0, ["swap"]), ["abcd ef g"]) == ["badc fe g"]
    assert changed(CharacterNoise(1.0, ["drop"]), ["gone"]) == ["gone"], "nothing would be left"
    assert changed(CharacterNoise(1.0, ["keyboard"]), ["Q1"])[0] in {"W1", "A1"}
    assert changed(WordNoise(1.0, ["swap"]), ["a b c"]) == ["b a c"]
    assert changed(WordNoise(1.0, ["repeat"]), ["a b"]) == ["a a b b"]
    assert changed(WordNoise(1.0, ["drop"]), ["a b c"]) == ["c"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CharacterNoise(1.5), "a rate of CharacterNoise from 0 to 1; found 1.5. Set its rate to 0.1."),
        (lambda: WordNoise(float("nan")), "a rate of WordNoise from 0 to 1; found nan"),
        (lambda: WordNoise(0.1, ["insert"]), r"edits of WordNoise among drop, swap, repeat; found \['insert'\]"),
        (lambda: CharacterNoise(0.1, []), r"edits of CharacterNoise among .* Set its edits to \[swap\], or to null"),
        (lambda: NoiseSequence([]), "at least one kind of noise in NoiseSequence; found none. Set data.text_noise to"),
        (lambda: tiny_data("x", label_noise=1.2), "--data.label_noise from 0 to 1; found 1.2. Set data.label_noise"),
        (lambda: tiny_data("x", task="stsb", label_noise=0.1), "a classification task for label noise; found stsb"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()


# --- the data module --------------------------------------------------------------------------------------------------


def columns(loader, name):
    return torch.cat([batch[name] for batch in loader])


@pytest.mark.parametrize("task", ["sst2", "rte"])
def test_training_rows_are_noisy_and_all_others_are_clean(tiny_backbone, tmp_path, task):
    protocol = {"task": task, "selection": "train", "selection_rows": 8, "cache_dir": str(tmp_path)}
    clean = tiny_data(tiny_backbone, **protocol)
    noisy = tiny_data(tiny_backbone, **protocol, label_noise=0.25, text_noise=WordNoise(0.5))
    rows = clean.rows("train"), noisy.rows("train")
    assert torch.equal(rows[0].columns["index"], rows[1].columns["index"])
    assert int((rows[0].columns["labels"] != rows[1].columns["labels"]).sum()) == 8
    assert rows[0].content_hash() != rows[1].content_hash()
    assert clean.validation_rows("validation").content_hash() == noisy.validation_rows("validation").content_hash()
    labels = [columns(data.val_dataloader(), "labels").tolist() for data in (clean, noisy)]
    assert labels[0] == labels[1]
    again = tiny_data(tiny_backbone, **protocol, label_noise=0.25, text_noise=WordNoise(0.5))
    assert again.rows("train").content_hash() == rows[1].content_hash()
    assert torch.equal(again.rows("train").columns["labels"], rows[1].columns["labels"])
    # Tokens are cached per setting: the noise does not overwrite those of the clean rows.
    assert len(list((tmp_path / "acl_lightning").glob("tokens-*.arrow"))) == 4
    assert tiny_data(tiny_backbone, **protocol).rows("train").content_hash() == rows[0].content_hash()


def test_the_noise_of_both_texts_of_a_pair_differs(tiny_backbone, tmp_path):
    data = tiny_data(tiny_backbone, task="rte", cache_dir=str(tmp_path), text_noise=WordNoise(0.5, ["drop"]))
    same = data.source.load(data.info, "train").map(lambda row: {"sentence2": row["sentence1"]}, keep_in_memory=True)
    changed_rows = data.noise.texts(same, ("sentence1", "sentence2"), range(len(same)), tmp_path)
    assert changed_rows[:]["sentence1"] != changed_rows[:]["sentence2"]


def test_a_run_records_its_noise(command, tmp_path):
    config = tmp_path / "noise.yaml"
    config.write_text(
        "data:\n  train_rows: 30\n  label_noise: 0.2\n  batches: LengthGrouped\n  text_noise:\n"
        "    class_path: acl_lightning.data.noise.NoiseSequence\n    init_args:\n      noises:\n"
        "        - {class_path: acl_lightning.data.noise.CharacterNoise, init_args: {rate: 0.1, edits: [swap]}}\n"
        "        - {class_path: WordNoise, init_args: {rate: 0.2}}\n"
    )
    code, error = command("fit", f"--config={config}", f"--run_dir={tmp_path / 'run'}")
    assert code == 0, error
    assert json.loads((tmp_path / "run/result.json").read_text())["data"] == {
        "selection": "validation",
        "protocol": "selected and reported on disjoint parts of the validation split, stratified by label",
        "seed": 0,
        "train_rows": 30,
        "selection_rows": None,
        "label_noise": 0.2,
        "text_noise": {
            "name": "NoiseSequence",
            "noises": [
                {"name": "CharacterNoise", "settings": {"rate": 0.1, "edits": ["swap"]}},
                {"name": "WordNoise", "settings": {"rate": 0.2, "edits": ["drop", "swap", "repeat"]}},
            ],
        },
    }
    code, error = command("fit", "--data.text_noise=WordNoise", "--data.text_noise.rate=2")
    assert code == 2
    assert "a rate of WordNoise from 0 to 1; found 2" in error
