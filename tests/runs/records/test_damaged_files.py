"""Every reader of a file of a run directory refuses a missing or damaged file in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acl_lightning.errors import UserError
from acl_lightning.runs import load_run, read_result, run_status
from acl_lightning.runs.checkpoints import find_checkpoint
from acl_lightning.runs.names import (
    BEST_CHECKPOINT,
    CHECKPOINTS,
    CONFIG,
    EARLIER_GRADIENTS,
    EMBEDDINGS,
    EXIT_LOGITS,
    EXIT_SWEEP,
    GRADIENTS,
    LOGS,
    METRICS_LOG,
    POINTS,
    REPRESENTATION,
    RESULT,
)
from acl_lightning.runs.records import (
    MissingFile,
    add_points,
    read_comparisons,
    read_config,
    read_exit_logits,
    read_gradient_summary,
    read_metrics_log,
    read_points,
    read_representation,
    read_sweep,
    write_representation,
)

FORMAT = Path(__file__).parents[2] / "formats/v0_1/run"

#: Name of a file -> readers of the file.
READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    CONFIG: (read_config, load_run),
    RESULT: (read_result,),
    POINTS: (read_points, read_result, lambda run: add_points(run, {})),
    EXIT_LOGITS: (read_exit_logits,),
    EXIT_SWEEP: (read_sweep,),
    GRADIENTS: (read_comparisons,),
    REPRESENTATION: (read_representation,),
    EMBEDDINGS: (read_representation,),
    f"{LOGS}/{METRICS_LOG}": (read_metrics_log, read_gradient_summary),
    f"{CHECKPOINTS}/{BEST_CHECKPOINT}": (lambda run: find_checkpoint("best", str(run), "validate"),),
}


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


#: Name of a kind of damage -> content of the damaged file.
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "the first half": half,
    "no text": lambda content: b"\xff\xfe\x00" + content,
    "a list": lambda content: b"[1, 2]",
    "a number": lambda content: b"1",
    "null": lambda content: b"null",
    "a text": lambda content: b'"text"',
    "an empty object": lambda content: b"{}",
    "nested too deeply": lambda content: b"[" * 100_000,
    "other columns": lambda content: b"a,b\n1,2\n",
    "zeros": lambda content: bytes(len(content)),
}

#: Files, and damages that no reader can tell from a valid file: the log of a killed run may end in the middle of a
#: line, and YAML has no end mark. `load_run` then refuses what is missing in the configuration.
ACCEPTED = {(f"{LOGS}/{METRICS_LOG}", name) for name in DAMAGES if name != "no text"} | {
    (CONFIG, "the first half"),
    (CONFIG, "an empty object"),
}


@pytest.fixture
def run(tmp_path) -> Path:
    """A copy of a run of version 0.1 with points and embeddings."""
    directory = tmp_path / "run"
    shutil.copytree(FORMAT, directory)
    (directory / EARLIER_GRADIENTS).rename(directory / GRADIENTS)
    add_points(directory, {"speed2": json.loads((directory / RESULT).read_text())["recommended"]["loss1"]})
    arrays = {
        "vectors_KnD": np.zeros((1, 4, 2), dtype=np.float16),
        "layers_K": np.array([3]),
        "labels_n": np.array([0, 1, 0, 1]),
        "label_vectors_KCD": np.zeros((1, 2, 2), dtype=np.float16),
        "label_names_C": np.array(["no", "yes"]),
    }
    rows = [[1, 4, 0.5, None], [3, 4, 0.25, 1.0]]
    write_representation(directory, ["exit_layer", "samples", "anisotropy", "alignment"], rows, arrays)
    return directory


def refusal(reader: Callable[[Path], object], run: Path) -> str:
    with pytest.raises(UserError) as caught:
        reader(run)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_in_one_line(run, name, damage):
    path = run / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    for reader in READERS[name]:
        if (name, damage) in ACCEPTED and reader is not load_run:
            reader(run)
        else:
            message = refusal(reader, run)
            assert path.name in message or (name, damage) in ACCEPTED


@pytest.mark.parametrize("name", [name for name in READERS if name not in {POINTS, f"{LOGS}/{METRICS_LOG}"}])
def test_missing_files_are_named(run, name):
    path = run / name
    path.unlink()
    for reader in READERS[name]:
        assert f"{path.name}; found no such file" in refusal(reader, run)


def test_points_and_logs_are_optional(run):
    (run / POINTS).unlink()
    shutil.rmtree(run / LOGS)
    assert read_points(run) == {}
    assert read_metrics_log(run) == {}
    assert read_gradient_summary(run) == {}


def test_a_missing_file_can_be_told_from_a_damaged_one(run):
    for name, readers in READERS.items():
        if name in {POINTS, f"{LOGS}/{METRICS_LOG}", EXIT_LOGITS, f"{CHECKPOINTS}/{BEST_CHECKPOINT}"}:
            continue
        (run / name).unlink()
        with pytest.raises(MissingFile):
            readers[0](run)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "unknown"},
        {"status": None},
        {"recommended": ["drop1"]},
        {"recommended": {"drop1": "fast"}},
        {"metrics": [1]},
        {"error": 1},
        {"checkpoint": ["best.ckpt"]},
        {"seed": "7"},
        {"seed": True},
        {"world_size": 1.5},
        {"versions": "1.0"},
        {"git": "abc"},
        {"config_files": "quickstart.yaml"},
        {"fit_seconds": "long"},
        {"schema_version": 1000},
        {"schema_version": "1"},
    ],
)
def test_wrong_types_in_a_result_are_refused(run, change):
    path = run / RESULT
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert "a damaged file" in refusal(read_result, run)


def test_the_status_of_a_run(run, tmp_path):
    assert run_status(run) == "finished"
    assert run_status(tmp_path) == "absent"
    for content in (b"", b"\xff", b"[]", b"{}", b'{"status": ["finished"]}', b'{"status": "gone"}'):
        (run / RESULT).write_bytes(content)
        assert run_status(run) == "damaged"
    for status in ("failed", "interrupted"):
        (run / RESULT).write_text(json.dumps({"status": status}))
        assert run_status(run) == status


def test_the_report_of_a_result_is_typed(run):
    report = read_result(run).sweep_report
    assert {"drop0", "drop1", "drop2", "speed2"} == set(report.recommended)
    path = run / RESULT
    path.write_text(json.dumps({"status": "finished"}))
    (run / POINTS).unlink()
    assert "exit sweep" in refusal(lambda directory: read_result(directory).sweep_report, run)
