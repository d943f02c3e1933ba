"""Studies whose trials have run directories written by the package's own writers, without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import yaml

import acl_lightning
from acl_lightning.exits import Entropy, ExitCosts, ExitRecord, evaluate
from acl_lightning.exits.evaluation.operating_point import table_rows
from acl_lightning.runs.provenance import Provenance
from acl_lightning.runs.records import (
    ALL_PARAMETERS,
    GradientComparison,
    RunResult,
    write_comparisons,
    write_config,
    write_exit_logits,
    write_representation,
    write_result,
    write_sweep,
)
from acl_lightning.studies.trials import Sweep

DEPTH = 4
LAYERS = (1, 2, 3, 4)
SELECTION, REPORT = 60, 120

#: Name of a configuration file -> how much the exits know about the label.
STRENGTH = {"ce": 0.9, "acl": 1.8, "scl": 1.0}


def exit_record(strength: float, seed: int, layers=LAYERS, *, shift: int = 0, classes: int = 2) -> ExitRecord:
    """Exits that know more with depth; a part of the noise is the same for all methods and seeds."""
    samples = SELECTION + REPORT
    labels_B = torch.arange(samples) % 2
    shared_B = torch.randn(samples, generator=torch.Generator().manual_seed(99))
    own_EB = torch.randn(len(layers), samples, generator=torch.Generator().manual_seed(seed))
    depth_E = torch.tensor(layers) / DEPTH
    lead_EB = strength * depth_E[:, None] * 1.2 + shared_B + 0.5 * own_EB
    logits_EBC = torch.stack([-lead_EB, lead_EB], dim=-1) / 2
    logits_EBC = torch.where((labels_B == 1)[None, :, None], logits_EBC, logits_EBC.flip(-1))
    return ExitRecord(
        logits_EBC=logits_EBC.float(),
        labels_B=labels_B,
        index_B=torch.arange(samples) + shift,
        selection_B=torch.arange(samples) < SELECTION,
        num_tokens_B=torch.full((samples,), 9),
        selection_from="train",
        costs=ExitCosts(tuple(layers), DEPTH, tuple(10.0 * layer + 1 for layer in layers), 10.0 * DEPTH + 1),
    )


def write_trial(
    directory: Path, record: ExitRecord, *, seed: int, task: str = "sst2", metric: str = "accuracy", **origin
):
    """Write the files that `fit` leaves for a finished trial."""
    directory.mkdir(parents=True, exist_ok=True)
    report = evaluate(record, [Entropy()], [], metric, thresholds={"entropy": [0.2, 0.4, 0.6, 0.8, 1.0]})
    versions = {"acl_lightning": acl_lightning.__version__, "torch": torch.__version__}
    provenance = Provenance(
        seed=seed,
        versions=versions | origin.pop("versions", {}),
        git={"commit": "abc", "dirty": False},
        fit_seconds=60.0 + seed,
        device="cpu (test)",
        **origin,
    )
    write_exit_logits(directory, record)
    write_sweep(directory, *table_rows(report.points, report.exit_layers))
    config = {"seed_everything": seed, "data": {"task": task, "train_rows": 100}}
    write_config(directory, "fit", yaml.safe_dump(config))
    write_result(directory, RunResult("finished", task=task, report=report.to_json(), provenance=provenance))
    return directory


def write_measurements(directory: Path, seed: int) -> None:
    """Write what `GradientProbe` and `RepresentationDiagnostics` leave."""
    generator = np.random.default_rng(seed)
    cosines = generator.uniform(-0.3, 0.5, 20)
    write_comparisons(
        directory,
        [
            GradientComparison(step, "acl", ALL_PARAMETERS, "", float(cosine), 1.0, 0.5)
            for step, cosine in enumerate(cosines)
        ],
    )
    vectors = generator.normal(size=(1, 40, 3)).astype(np.float32)
    arrays = {
        "vectors_KnD": vectors / np.linalg.norm(vectors, axis=-1, keepdims=True),
        "layers_K": np.array([4]),
        "labels_n": np.arange(40) % 2,
        "label_vectors_KCD": np.eye(3, dtype=np.float32)[None, :2],
        "label_names_C": np.array(["negative", "positive"]),
    }
    rows = [[layer, 40, 0.5 + seed / 100, -2.0] for layer in LAYERS]
    write_representation(directory, ["exit_layer", "samples", "alignment", "uniformity"], rows, arrays)


def write_study(folder: Path, parameters: dict, table: dict) -> Sweep:
    """Write `sweep.yaml`, `table.yaml` and configuration files; without trials."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep = {
        "name": folder.name,
        "method": "grid",
        "program": "acl_lightning",
        "command": ["${env}", "python", "-m", "acl_lightning", "fit", "--config", "${args_json_file}"],
        "parameters": {name: {"values": values} for name, values in parameters.items()},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    (folder / "table.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
    (folder / "README.md").write_text(
        "# Does it help?\n\nWhether *ACL* is better than CE.\n\n## What came out\n\nYes.\n"
    )
    return Sweep.read(folder / "sweep.yaml")


def finish(trials, *, skip=(), strength=STRENGTH, **settings) -> None:
    """Write the run of every trial but those whose numbers are in `skip`."""
    for trial in trials:
        if trial.number not in skip:
            name, seed = _method(trial.parameters["config"]), int(trial.parameters.get("seed_everything", 0))
            tau = float(trial.parameters.get("tau", 0))
            record = exit_record(strength[name] + tau, seed + 100 * list(strength).index(name))
            task = str(trial.parameters.get("data.task", "sst2"))
            write_trial(trial.directory, record, seed=seed, task=task, **settings)


def _method(config) -> str:
    first = config[0] if isinstance(config, list) else config
    return Path(first).stem
