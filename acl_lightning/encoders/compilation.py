"""`torch.compile` for what every layer of an encoder computes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch._functorch import config as functorch_config

Function = TypeVar("Function", bound=Callable[..., object])

#: What torch.compile hands the graphs to.
BACKEND = "inductor"

#: Graphs of one function: tokens or a single row, masked or not, with and without gradients, under autocast or not, a
#: batch of one; times a few. All layers of an encoder share them, and so do all lengths.
MOST_GRAPHS = 32


@functools.cache
def compiled(function: Function) -> Function:
    """Compile a function for inputs of any length and batch size.

    A module is an argument of it, not its owner: so all layers share the graphs, and the names in a state dict stay.

    Compiled backward passes usually reuse the memory of the activations for their results ("donated buffers"), which
    a second backward pass over the same graph would then miss; this is switched off, for the whole process.
    """
    functorch_config.donated_buffer = False
    compile_: Any = torch.compile  # its declared types lack the limit
    made: Function = compile_(function, dynamic=True, backend=BACKEND, recompile_limit=MOST_GRAPHS)
    return made
