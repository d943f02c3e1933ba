"""Short training runs on a tiny backbone and generated rows, in this process or in separate processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from acl_lightning.data import GLUEDataModule
from acl_lightning.encoders import EncoderConfig
from acl_lightning.training.module import ACLModule
from acl_lightning.training.optimization import OptimizationConfig

ROOT = Path(__file__).parent.parent

#: Processes are forked from a server that has imported the package, which takes a tenth of the time of a new start.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["acl_lightning.cli.trainer", "training_runs"])


def still_backbone(backbone: str, directory: Path) -> str:
    """A copy of `backbone` without dropout, for deterministic comparisons."""
    shutil.copytree(backbone, directory)
    path = directory / "config.json"
    config = json.loads(path.read_text()) | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    path.write_text(json.dumps(config))
    return str(directory)


def tiny_data(backbone: str, **settings: Any) -> GLUEDataModule:
    """A data module of generated rows in batches of 8; `settings` override its arguments."""
    defaults = {"source": "synthetic", "synthetic_rows": 40, "max_length": 16, "batch_size": 8}
    return GLUEDataModule(tokenizer=backbone, **(defaults | settings))


def tiny_module(
    backbone: str, data: GLUEDataModule, *, encoder: dict[str, Any] | None = None, **settings: Any
) -> ACLModule:
    """A module for `data`, with a learning rate of 1e-3 without warm-up; `optimization` overrides the rates."""
    torch.manual_seed(0)
    rates = {"learning_rate": 1e-3, "warmup_fraction": 0.0} | settings.pop("optimization", {})
    return ACLModule(
        EncoderConfig(backbone=backbone, **({"dropout": 0.0} | (encoder or {}))),
        optimization=OptimizationConfig(**rates),
        label_names=data.label_names,
        metric_names=data.metrics,
        **settings,
    )


def tiny_trainer(directory: Path, **settings: Any) -> Trainer:
    """A trainer for one epoch on the CPU without logging, output or checkpoints; `settings` override its arguments."""
    defaults = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "use_distributed_sampler": False,
        "default_root_dir": directory,
    }
    return Trainer(**(defaults | settings))


def weights(module: ACLModule) -> dict[str, torch.Tensor]:
    """Copies of all tensors of the state dictionary."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def furthest(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Largest absolute difference of two state dictionaries with the same names."""
    assert first.keys() == second.keys()
    return max((first[name].double() - second[name].double()).abs().max().item() for name in first)


def in_processes(target: Callable[..., Any], *arguments: Any, number: int = 1, timeout: float = 120) -> list[int]:
    """Run `target(*arguments)` in `number` processes, as ranks of a run if several; return exit codes.

    `target` must be importable. A process is killed after `timeout` seconds.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        PROCESSES.Process(target=_child, args=(target, arguments, rank, number, port)) for rank in range(number)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
    return [int(process.exitcode or 0) for process in processes]


def _child(target: Callable[..., Any], arguments: tuple[Any, ...], rank: int, number: int, port: int) -> None:
    torch.set_num_threads(1)
    if number > 1:
        places = {"LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": number, "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in places.items()} | {"MASTER_ADDR": "127.0.0.1"})
    target(*arguments)


def command_line(arguments: list[str]) -> None:
    """Run a command like `python -m acl_lightning`, without drawing figures, and exit with its code."""
    from finished_runs import undrawn_figures

    from acl_lightning.cli import main

    sys.argv = ["acl_lightning"]
    with undrawn_figures():
        sys.exit(main(arguments))
