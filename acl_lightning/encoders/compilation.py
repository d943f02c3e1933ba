"""Compilation of encoder layers with `torch.compile`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch._functorch import config as functorch_config

Function = TypeVar("Function", bound=Callable[..., object])

#: Backend of torch.compile.
BACKEND = "inductor"

#: Largest number of graphs per function. Separate graphs are needed for all tokens or a single row, with or without
#: mask, gradients and autocast, and for a batch with a single sample. All layers and lengths share them.
MOST_GRAPHS = 32


@functools.cache
def compiled(function: Function) -> Function:
    """Compile a function for inputs of any length and batch size.

    Modules are arguments of the function: all layers share the graphs, and names in a state dict do not change.

    Compiled backward passes usually reuse the memory of the activations for their results ("donated buffers"), which a
    second backward pass over the same graph still needs. This is switched off for the whole process.
    """
    functorch_config.donated_buffer = False
    compile_: Any = torch.compile  # the declared types do not include the limit
    result: Function = compile_(function, dynamic=True, backend=BACKEND, recompile_limit=MOST_GRAPHS)
    return result
