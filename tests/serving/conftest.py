"""Packages of a tiny encoder."""

from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")


@pytest.fixture(scope="session")
def word_tokenizer(tmp_path_factory) -> Path:
    """`tokenizer.json` of 50 words, `w0` to `w49`, with [CLS] = w2 and [SEP] = w3 around a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {f"w{number}": number for number in range(50)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("w3", 3), ("w2", 2))
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session")
def package(word_tokenizer, tmp_path_factory) -> Path:
    """A package with one operating point per criterion of the registry."""
    from packages import POINTS, write_package

    points = {
        name: {
            "criterion": criterion,
            "threshold": threshold,
            "temperatures": criterion["settings"].get("temperatures_E"),
        }
        for name, (criterion, threshold) in POINTS.items()
    }
    return write_package(tmp_path_factory.mktemp("packages") / "tiny", word_tokenizer, points)
