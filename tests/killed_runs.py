"""Short fits in separate processes that a callback kills, and comparisons of their checkpoints."""

from pathlib import Path
from typing import Any

import torch
from training_runs import ROOT, command_line, in_processes


def settings(backbone: str, run: Path, accumulate: int) -> list[str]:
    """Arguments of a fit with dropout, ACL-Embed and ACL-Grad."""
    return [
        f"--config={ROOT / 'conf/objective/acl.yaml'}",
        f"--run_dir={run}",
        f"--model.encoder.backbone={backbone}",
        f"--model.optimization.accumulate={accumulate}",
        "--model.optimization.learning_rate=1e-3",
        "--data.source=synthetic",
        "--data.synthetic_rows=64",
        "--data.batch_size=8",
        "--data.max_length=16",
        "--trainer.max_epochs=2",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.log_every_n_steps=1",
        "--last_checkpoint.every_n_steps=2",
        "--gradient_monitor.every_n_steps=1",
    ]


def fit(backbone: str, run: Path, accumulate: int, *arguments: str) -> int:
    """Exit code of that fit in a separate process."""
    (code,) = in_processes(command_line, ["fit", *settings(backbone, run, accumulate), *arguments])
    return code


def killing(callback: str) -> list[str]:
    """Arguments that add a callback, written as a call with keyword arguments."""
    path, _, rest = callback.partition("(")
    pairs = [pair.strip() for pair in rest.rstrip(")").split(",")]
    start = [f"--trainer.callbacks.class_path={path}"]
    return start + [f"--trainer.callbacks.init_args.{pair}" for pair in pairs]


def same(first: Any, second: Any) -> bool:
    """Whether nested containers are equal, tensors to the bit."""
    if type(first) is not type(second):
        return False
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return first == second


def state(path: Path) -> dict:
    """A checkpoint without its paths and without a score that ModelCheckpoint does not restore."""
    content = torch.load(path, weights_only=True)
    content["callbacks"] = {
        name: {key: value for key, value in kept.items() if not key.endswith(("path", "models", "current_score"))}
        for name, kept in content["callbacks"].items()
    }
    return content
