"""Tests that an export gives the answers of the run for tokenizers of all settings."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from training_runs import tiny_data
from transformers import AutoTokenizer, BertModel, pipeline

from acl_lightning.encoders import EncoderConfig
from acl_lightning.errors import UserError
from acl_lightning.export import MultiExitForSequenceClassification, exported_config, load_export
from acl_lightning.export.directory import exported_tokenizer, write_directory
from acl_lightning.runs import RunResult

MAX_LENGTH = 12  # shorter than most texts

PROPERTIES = {
    "unchanged": {},
    "padding on the left": {"padding_side": "left"},
    "truncation on the left": {"truncation_side": "left"},
    "both on the left": {"padding_side": "left", "truncation_side": "left"},
    "a longer maximum": {"model_max_length": 512},
    "no maximum": {"model_max_length": int(1e30)},
    "no token types": {"model_input_names": ["input_ids", "attention_mask"]},
    "no lower case": {"do_lower_case": False},
    "added tokens": None,
}


def backbone_with(directory, backbone, changes):
    """Copy a backbone, and change the settings of its tokenizer or (None) add a token."""
    shutil.copytree(backbone, directory)
    if changes is None:
        model = BertModel.from_pretrained(directory)
        tokenizer = AutoTokenizer.from_pretrained(directory)
        tokenizer.add_tokens(["good film"])
        torch.manual_seed(0)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        return str(directory)
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return str(directory)


def export(backbone, task, out):
    """Export an encoder with large logits, so that answers differ; return the DataModule and the encoder."""
    data = tiny_data(backbone, task=task, max_length=MAX_LENGTH, synthetic_rows=400)
    torch.manual_seed(0)
    encoder = EncoderConfig(backbone=backbone).build(num_labels=2).eval()
    with torch.no_grad():
        for head in encoder.heads:
            head.classifier.weight.mul_(50)
    config = exported_config(
        encoder, data.label_names, data.info.text_columns, task, RunResult("finished"), data.max_length
    )
    model = MultiExitForSequenceClassification(config)
    model.encoder.load_state_dict(encoder.state_dict())
    write_directory(out, model, exported_tokenizer(data.tokenizer, config), "card")
    return data, encoder


@pytest.mark.parametrize("task", ["sst2", "rte"])
@pytest.mark.parametrize("name", PROPERTIES)
def test_the_export_gives_the_answers_of_the_run(tiny_backbone, tmp_path, name, task):
    backbone = backbone_with(tmp_path / "backbone", tiny_backbone, PROPERTIES[name])
    data, encoder = export(backbone, task, tmp_path / "model")
    rows = data.rows("test")
    batch = {key: ids for key, ids in rows.__getitems__(list(range(len(rows)))).items() if key != "index"}
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}
    with torch.no_grad():
        expected_BC = encoder(**inputs).logits_EBC[-1]
    assert expected_BC.std() > 0.05

    model, tokenizer = load_export(tmp_path / "model")
    assert (tokenizer.model_max_length, tokenizer.padding_side) == (MAX_LENGTH, "right")
    assert tokenizer.truncation_side == data.tokenizer.truncation_side
    texts = [list(data.texts("test", index).values()) for index in range(len(rows))]
    tokens = tokenizer(*map(list, zip(*texts, strict=True)), padding=True, truncation=True, return_tensors="pt")
    assert set(tokens) == set(inputs)
    for key, ids in inputs.items():
        assert torch.equal(tokens[key], ids), key
    torch.testing.assert_close(model(**tokens).logits, expected_BC, rtol=0, atol=1e-4)

    classify = pipeline("text-classification", model=str(tmp_path / "model"), device="cpu")
    pairs = [dict(zip(("text", "text_pair"), row, strict=False)) for row in texts]
    with pytest.warns(UserWarning, match=f"texts of more than {MAX_LENGTH} tokens are truncated, as in training"):
        answers = classify(pairs, batch_size=16)
    scores = expected_BC.softmax(dim=-1).amax(dim=-1).tolist()
    assert [answer["score"] for answer in answers] == pytest.approx(scores, abs=1e-4)


def test_the_truncation_argument_of_a_pipeline_takes_precedence(tiny_backbone, tmp_path):
    data, _ = export(tiny_backbone, "sst2", tmp_path / "model")
    long = "film " * 600
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classify = pipeline("text-classification", model=str(tmp_path / "model"), device="cpu", truncation=True)
        assert classify(long) == classify("film " * 10)
        assert len(data.tokenizer("film " * 10)["input_ids"]) == MAX_LENGTH
    model, tokenizer = load_export(tmp_path / "model")
    with pytest.raises(UserError, match=r"at most 512 tokens per text; found 602\. Call the tokenizer with truncation"):
        model(**tokenizer(long, return_tensors="pt", verbose=False))


def test_the_tokenizer_of_the_run_is_not_changed(tiny_backbone, tmp_path):
    backbone = backbone_with(tmp_path / "backbone", tiny_backbone, {"padding_side": "left", "model_max_length": 300})
    data, _ = export(backbone, "sst2", tmp_path / "model")
    assert (data.tokenizer.padding_side, data.tokenizer.model_max_length) == ("left", 300)
    config = json.loads(Path(tmp_path / "model/config.json").read_text())
    assert config["max_length"] == MAX_LENGTH
