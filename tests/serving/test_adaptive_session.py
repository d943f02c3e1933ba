"""Tests that a package answers as the torch runtime does, in every mode, and without torch."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from packages import LAYERS, POINTS, tiny_encoder
from tiny_models import batch

from acl_lightning.errors import UserError
from acl_lightning.exits import exit_index, from_config
from acl_lightning.exits.inference import AdaptiveRuntime
from acl_lightning.serving import MODES, AdaptiveSession, adaptive

LENGTHS = [12, 3, 18, 1, 7, 7, 2, 20, 9, 14, 5]


@pytest.fixture(scope="module")
def session(tiny_package) -> AdaptiveSession:
    return AdaptiveSession(tiny_package, batch_size=4)


def arrays(lengths) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in batch(lengths).items()}


def test_logits_of_every_exit_and_the_gate_are_those_of_torch(session):
    outputs = tiny_encoder()(**batch(LENGTHS))
    table = session.exit_logits(arrays(LENGTHS))
    torch.testing.assert_close(torch.from_numpy(table.logits_ENC), outputs.logits_EBC, rtol=0, atol=2e-4)
    torch.testing.assert_close(torch.from_numpy(table.gates_EN), outputs.gates_EB, rtol=0, atol=1e-5)
    assert outputs.logits_EBC.std() > 1


@pytest.mark.parametrize("name", POINTS)
def test_answers_are_those_of_the_torch_runtime_and_of_the_sweep(session, name):
    description, threshold = POINTS[name]
    criterion, inputs = from_config(description), batch(LENGTHS)
    encoder = tiny_encoder()
    expected = AdaptiveRuntime(encoder, criterion, threshold)(**inputs)
    outputs = encoder(**inputs)
    cosines_EBC = torch.stack([encoder.cosines(exit_, h_BD) for exit_, h_BD in enumerate(outputs.embeddings_EBD)])
    readable = criterion.inputs(outputs.logits_EBC, outputs.gates_EB, cosines_EBC)
    swept = exit_index(criterion.certainty(readable), torch.tensor([threshold]))[0]
    layers = torch.tensor(LAYERS)
    assert name == "static" or len(set(swept.tolist())) > 1  # the threshold separates the samples
    for mode in MODES:
        answers = session.decide(arrays(LENGTHS), operating_point=name, mode=mode)
        assert answers.exit_layers.tolist() == expected.exit_layer_B.tolist() == layers[swept].tolist()
        np.testing.assert_allclose(answers.logits, expected.logits_BC.numpy(), rtol=0, atol=2e-4)
        temperatures = description["settings"].get("temperatures_E")
        divisor = 1 if temperatures is None else torch.tensor(temperatures)[expected.exit_B][:, None]
        probabilities = (expected.logits_BC / divisor).softmax(dim=-1).numpy()
        np.testing.assert_allclose(answers.probabilities, probabilities, rtol=0, atol=1e-4)
        assert answers.labels == tuple(np.array(["bad", "fair", "good"])[expected.logits_BC.argmax(dim=1)])


def test_samples_are_merged_between_segments_whatever_the_window(session, monkeypatch):
    lengths = [*range(1, 21)] * 3
    expected = session.decide(arrays(lengths), operating_point="entropy", mode="latency")
    for tokens in (1, 100, 10**6):
        monkeypatch.setattr(adaptive, "MOST_TOKENS", tokens)
        monkeypatch.setattr(adaptive, "ROW_FIRST_TOKENS", 0)
        answers = session.decide(arrays(lengths), operating_point="entropy", mode="throughput")
        assert answers.exit_layers.tolist() == expected.exit_layers.tolist()
        np.testing.assert_allclose(answers.logits, expected.logits, rtol=0, atol=2e-4)


def test_texts_are_tokenised_truncated_and_padded(session):
    texts = ["w7 w8 w9", "", " ".join(["w5"] * 300), "w11"]
    tokens = session.encoder(texts)
    assert tokens.lengths == (5, 2, 20, 3)
    assert tokens.arrays["input_ids"][0, :6].tolist() == [2, 7, 8, 9, 3, 1]  # 1 is the padding
    assert tokens.arrays["attention_mask"].sum(axis=1).tolist() == [5, 2, 20, 3]
    answers = session(texts, operating_point="margin")
    with torch.no_grad():
        inputs = {name: torch.from_numpy(values) for name, values in tokens.arrays.items()}
        expected = AdaptiveRuntime(tiny_encoder(), from_config(POINTS["margin"][0]), 0.5)(**inputs)
    assert answers.exit_layers.tolist() == expected.exit_layer_B.tolist()
    assert len(session([])) == 0
    assert session([]).probabilities.shape == (0, 3)


def test_a_stream_is_read_no_further_than_a_part(session):
    read = []

    def texts():
        for number in range(1000):
            read.append(number)
            yield f"w{number % 50}"

    parts = session.stream(texts(), mode="batch")
    assert len(next(parts)) == 4
    assert len(read) == 4
    assert session(("w1", "w2", "w3", "w4", "w5")).labels == sum(
        (part.labels for part in session.stream(["w1", "w2", "w3", "w4", "w5"])), ()
    )


def test_threads_share_a_session(session):
    texts = [f"w{number} w{number + 7}" for number in range(5, 40)]
    expected = {name: session(texts, operating_point=name).labels for name in ("entropy", "patience", "full_depth")}
    differing = []

    def answer(name: str) -> None:
        differing.extend(name for _ in range(5) if session(texts, operating_point=name).labels != expected[name])

    threads = [threading.Thread(target=answer, args=(name,)) for name in expected for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert differing == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([3], "a string as sample 0; found int"),
        (["w1", b"w2"], "a string as sample 1; found bytes"),
        (["w1", None], "a string as sample 1; found NoneType"),
        (["w1", "w2\udcff"], r"Unicode text as sample 1; found the character '\\udcff' at position 2"),
        (["w" * 1_000_001], r"at most 1000000 characters in sample 0; found 1000001.*max_characters=1000001"),
        ("w1", "a list of texts; found a single string"),
        ([("w1", "w2")], "a string as sample 0; found tuple of 2"),
    ],
)
def test_what_is_no_text_is_refused(session, texts, message):
    with pytest.raises(UserError, match=message):
        session(texts)


def test_arrays_that_do_not_fit_are_refused(session):
    good = arrays([3, 2])
    for tokens, message in [
        ({"ids": 1}, "the array input_ids; found ids"),
        (good | {"attention_mask": np.ones((2, 2), int)}, "integers .* as attention_mask"),
        (good | {"input_ids": np.ones((2, 3))}, "integers .* as input_ids"),
        ({"input_ids": np.ones((1, 21), int)}, "at most 20 tokens per sample; found 21"),
    ]:
        with pytest.raises(UserError, match=message):
            session.decide(tokens)
    only_ids = session.decide({"input_ids": good["input_ids"][:1]})
    assert len(only_ids) == 1


def test_settings_out_of_range_are_refused(tiny_package, session):
    for settings, message in [
        ({"operating_point": "fast"}, "an operating point among: confidence, .*, full_depth; found 'fast'"),
        ({"mode": "quick"}, "a mode among latency, batch, throughput; found 'quick'"),
        ({"threads": 0}, "an integer >= 1; found 0"),
        ({"batch_size": 0}, "1 sample or more in a batch; found 0"),
        ({"providers": ("NoProvider",)}, "execution providers among .*CPUExecutionProvider.*; found NoProvider"),
        ({"providers": ()}, "execution providers among .*; found none"),
        (
            {"providers": "CPUExecutionProvider"},
            r"a list of execution providers; found 'CPUEx.*Set providers to \['CPUEx",
        ),
        ({"threads": 1.5}, "an integer >= 1; found 1.5. Set threads to 1"),
    ]:
        with pytest.raises(UserError, match=message):
            AdaptiveSession(tiny_package, **settings)
    with pytest.raises(UserError, match="found 'fast'"):
        session(["w1"], operating_point="fast")


def test_the_runtime_imports_neither_torch_nor_transformers(tiny_package):
    code = (
        "import sys; from acl_lightning.serving import AdaptiveSession\n"
        "print(AdaptiveSession(sys.argv[1], 'entropy', 'latency')(['w7 w8', 'w9']).exit_layers)\n"
        "ours = {name.split('.')[0] for name in sys.modules} & set(sys.argv[2:])\n"
        "assert not ours, ours\n"
        "modules = {name for name in sys.modules if name.startswith('acl_lightning.')}\n"
        "extra = {name for name in modules if name.split('.')[1] not in {'serving', 'errors'}}\n"
        "assert not extra, extra"
    )
    heavy = ["torch", "transformers", "lightning", "onnx", "onnxscript", "datasets", "matplotlib", "yaml", "scipy"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, str(tiny_package), *heavy]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
