"""Back-translation through tiny random translation models."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from training_runs import in_processes, tiny_data
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from acl_lightning.data.noise import BackTranslation, back_translation
from acl_lightning.errors import UserError

WORDS = ["the", "film", "is", "good", "bad", "a", "very", "not", "plot", "ends"]
TEXTS = [" ".join(WORDS[number % 7 : number % 7 + 1 + number % 4]) for number in range(9)]
KEYS = [f"0/sentence/{number}" for number in range(9)]


@pytest.fixture(scope="module")
def models_of_two_languages(tmp_path_factory):
    """Directories of two random Marian models with a tokenizer of ten words."""
    directories = []
    for seed in (0, 1):
        directory = tmp_path_factory.mktemp(f"marian-{seed}")
        vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
        words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
        PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(directory)
        torch.manual_seed(seed)
        size = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
        heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
        ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "forced_eos_token_id": None}
        config = MarianConfig(vocab_size=len(vocabulary), max_position_embeddings=24, **size, **heads, **ids)
        MarianMTModel(config).save_pretrained(directory)
        directories.append(str(directory))
    return directories


def test_texts_are_translated_once_per_temperature_and_content(models_of_two_languages, tmp_path, monkeypatch):
    state = torch.get_rng_state()
    noise = BackTranslation(*models_of_two_languages, temperature=0.7, batch_size=4)
    first = noise.apply(TEXTS, KEYS, tmp_path)
    assert torch.equal(torch.get_rng_state(), state), "the random state of the training is not touched"
    assert len(first) == len(TEXTS)
    assert first != TEXTS
    assert all(text.strip() and set(text.split()) <= {*WORDS, "<unk>"} for text in first)
    other_cache = noise.apply(TEXTS, KEYS, tmp_path / "other")
    assert other_cache == first, "reproducible from the seed"
    hotter = BackTranslation(*models_of_two_languages, temperature=1.5, batch_size=4).apply(TEXTS, KEYS, tmp_path)
    other_seed = noise.apply(TEXTS, [f"1/{key}" for key in KEYS], tmp_path)
    assert len({json.dumps(texts) for texts in (first, hotter, other_seed)}) == 3
    assert len(list(tmp_path.glob("back-translation-*.json"))) == 3
    monkeypatch.setattr(back_translation, "_load", None)  # models are not needed again
    assert noise.apply(TEXTS, KEYS, tmp_path) == first


class Stopped(BaseException):
    """Stands for the end of the process."""


def test_a_translation_that_is_stopped_leaves_no_file(models_of_two_languages, tmp_path, monkeypatch):
    noise = BackTranslation(*models_of_two_languages, batch_size=4)
    expected = noise.apply(TEXTS, KEYS, tmp_path / "whole")
    sample, calls = BackTranslation._sample, []

    def stops(self, *arguments):
        calls.append(arguments)
        if len(calls) == 5:  # in the second of three batches of the way back
            raise Stopped
        return sample(self, *arguments)

    monkeypatch.setattr(BackTranslation, "_sample", stops)
    with pytest.raises(Stopped):
        noise.apply(TEXTS, KEYS, tmp_path / "stopped")
    assert not list((tmp_path / "stopped").glob("*"))
    monkeypatch.undo()
    assert noise.apply(TEXTS, KEYS, tmp_path / "stopped") == expected
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == [
        path.name for path in (tmp_path / "whole").iterdir()
    ]


def test_a_process_that_is_killed_while_it_writes_leaves_the_cache_unread(models_of_two_languages, tmp_path):
    noise = BackTranslation(*models_of_two_languages)
    assert in_processes(translate_and_die, noise, tmp_path) == [-signal.SIGKILL]
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".back-translation-")
    first = noise.apply(TEXTS, KEYS, tmp_path)
    assert first == noise.apply(TEXTS, KEYS, tmp_path / "other")
    assert len(list(tmp_path.glob("back-translation-*.json"))) == 1


def translate_and_die(noise, directory):
    """Translate, and be killed after half of the file is written."""

    def half(self, text, **_):
        with self.open("w", encoding="utf-8") as file:
            file.write(text[: len(text) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    Path.write_text = half
    noise.apply(TEXTS, KEYS, directory)


def test_a_damaged_cache_is_built_again(models_of_two_languages, tmp_path):
    noise = BackTranslation(*models_of_two_languages)
    first = noise.apply(TEXTS, KEYS, tmp_path)
    (path,) = tmp_path.glob("back-translation-*.json")
    path.write_text(path.read_text()[:20])
    assert noise.apply(TEXTS, KEYS, tmp_path) == first


def test_other_weights_have_another_cache(models_of_two_languages, tmp_path):
    forward, backward = models_of_two_languages
    assert back_translation._identity(forward) != back_translation._identity(backward)
    assert back_translation._identity("Helsinki-NLP/opus-mt-en-de") == "Helsinki-NLP/opus-mt-en-de"


def test_the_data_module_trains_on_translated_texts(models_of_two_languages, tiny_backbone, tmp_path):
    noise = BackTranslation(*models_of_two_languages, batch_size=64)
    data = tiny_data(tiny_backbone, train_rows=10, text_noise=noise, cache_dir=str(tmp_path))
    clean = tiny_data(tiny_backbone, train_rows=10, cache_dir=str(tmp_path))
    assert data.rows("train").content_hash() != clean.rows("train").content_hash()
    assert data.rows("validation").content_hash() == clean.rows("validation").content_hash()
    other = tiny_data(tiny_backbone, train_rows=10, text_noise=noise, seed=1, cache_dir=str(tmp_path))
    assert len(list((tmp_path / "acl_lightning").glob("back-translation-*.json"))) == 1
    other.rows("train")
    assert len(list((tmp_path / "acl_lightning").glob("back-translation-*.json"))) == 2, "another seed, another draw"
    assert data.describe()["text_noise"] == {"name": "BackTranslation", "settings": dict(noise.settings)}


@pytest.mark.parametrize(("settings", "message"), [
    ({"temperature": 0.0}, "a temperature of BackTranslation above 0; found 0.0. Set its temperature to 1.0."),
    ({"temperature": float("inf")}, "above 0; found inf"),
    ({"batch_size": 0}, "a batch_size of BackTranslation >= 1; found 0"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        BackTranslation("a", "b", **settings)


def test_a_missing_model_is_refused_by_name(tiny_backbone, tmp_path):
    with pytest.raises(UserError, match="a model directory at '/no/model'; found no such directory"):
        BackTranslation("/no/model", "/no/model").apply(TEXTS, KEYS, tmp_path)
    with pytest.raises(UserError, match="a translation model for forward of BackTranslation at") as error:
        BackTranslation(tiny_backbone, tiny_backbone).apply(TEXTS, KEYS, tmp_path)
    assert "\n" not in str(error.value)
