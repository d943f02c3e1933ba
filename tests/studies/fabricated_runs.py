"""Run directories in the shape the callbacks leave, without training; `test_collect.py` checks that shape on a run."""

import csv
import json
from pathlib import Path

import yaml

DEPTH = 2
#: Mean exit layer of each threshold of the fabricated entropy sweep.
ENTROPY = {0.9: 1.0, 0.5: 1.5, 0.1: 2.0}


def config(seed, directory, **settings):
    resolved = {
        "seed_everything": seed,
        "run_dir": str(directory),
        "model": {
            "encoder": {"exit_row": "mean_row", "exits": None},
            "objective": {
                "class_path": "objectives.WeightedObjective",
                "init_args": {"auxiliary": None, "weight": 0.5},
            },
        },
        "data": {"task": "sst2", "source": None, "train_rows": 100, "synthetic_rows": 400},
    }
    for key, value in settings.items():
        *path, last = key.split("__")
        node = resolved
        for part in path:
            node = node[part]
        node[last] = value
    return resolved


def point(quality, layer):
    return {
        "criterion": "entropy",
        "threshold": 0.5,
        "quality": quality,
        "quality_selection": quality,
        "mean_exit_layer": layer,
        "layer_saving": 1 - layer / DEPTH,
        "shares": [0.5, 0.5],
        "leaves_early": True,
        "loss_points": 1.0,
        "layer_speedup": DEPTH / layer,
        "flops_speedup": DEPTH / layer + 0.1,
    }


def result(seed, qualities, task):
    return {
        "status": "finished",
        "error": None,
        "task": task,
        "metric": "accuracy",
        "metric_names": ["accuracy"],
        "exit_layers": [1, 2],
        "depth": DEPTH,
        "samples": {"selection": 10, "report": 11},
        "full_depth": {"accuracy": qualities[1]},
        "per_exit": [{"layer": layer, "accuracy": q} for layer, q in enumerate(qualities, 1)],
        "recommended": {"drop1": point(qualities[1], 1.5)},
        "highlighted": "drop1",
        "seed": seed,
        "config_hash": f"hash{seed}",
        "precision": "32-true",
        "device": "cpu (test)",
        "versions": {"torch": "2.13.0", "lightning": "2.6.6", "transformers": "5.23.0"},
        "git": {"commit": "abc", "dirty": False},
        "started": f"2026-01-0{seed + 1}T00:00:00+00:00",
        "finished": f"2026-01-0{seed + 1}T01:00:00+00:00",
        "fit_seconds": 3600.0,
    }


def fabricate(directory, seed=0, qualities=(0.6, 0.8), task="sst2", changes=None, **settings) -> Path:
    """A run with the given accuracy at exits 1 and 2; `changes` go into result.json, `settings` into the config."""
    directory.mkdir(parents=True)
    settings = {"data__task": task, **settings}
    (directory / "config.yaml").write_text(yaml.safe_dump(config(seed, directory, **settings)))
    (directory / "result.json").write_text(json.dumps(result(seed, qualities, task) | (changes or {})))
    with (directory / "exit_sweep.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["criterion", "threshold", "quality", "mean_exit_layer", "layer_speedup", "flops_speedup"])
        for layer, quality in enumerate(qualities, 1):
            table.writerow(["static", float(layer), quality, float(layer), DEPTH / layer, DEPTH / layer + 0.1])
        for threshold, layer in ENTROPY.items():
            quality = qualities[0] + (layer - 1) * (qualities[1] - qualities[0])
            table.writerow(["entropy", threshold, quality, layer, DEPTH / layer, DEPTH / layer + 0.1])
    return directory
