"""Position of this process among the processes of a distributed run, before any process group exists."""

from __future__ import annotations

import os

#: Environment variable that hands the run directory to the processes of a distributed run, so that all share it.
ENVIRONMENT = "ACL_LIGHTNING_RUN_DIR"


def is_first_process() -> bool:
    """Whether this process has rank 0, by the environment variables of torchrun, srun or Lightning."""
    return not any(_number(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"))


def is_child() -> bool:
    """Whether another process of this program started this one, as a rank of its distributed run."""
    return not is_first_process() and ENVIRONMENT in os.environ


def is_started_with_others() -> bool:
    """Whether torchrun or srun started this process together with others."""
    return not is_first_process() or max(_number("WORLD_SIZE"), _number("SLURM_NTASKS")) > 1


def _number(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else 0
