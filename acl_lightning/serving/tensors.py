"""Tensors of onnxruntime that pass from segment to segment without becoming arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import OrtDevice, OrtValue

#: Name of an execution provider -> device of its tensors; all others compute on the CPU.
DEVICES = {"CUDAExecutionProvider": "cuda"}

_CPU: OrtDevice = onnxruntime.OrtDevice.make("cpu", 0)._get_c_device()


class Tensor(NamedTuple):
    """Tensor in memory of onnxruntime, or of an array.

    Attributes:
        value: Tensor of onnxruntime. `value.numpy()` is on the CPU a view, without a copy.
        array: Array whose memory the tensor uses, which must live as long; None: memory of onnxruntime.
    """

    value: OrtValue
    array: NDArray[Any] | None

    @classmethod
    def of(cls, array: NDArray[Any], device: str = "cpu") -> Tensor:
        """Return a tensor with the values of an array, on the CPU without a copy."""
        array = np.ascontiguousarray(array)
        return cls(OrtValue.ortvalue_from_numpy(array, device_named(device)), array)


#: Tensors of a group of samples by name: hidden states, keys, values and mask, on the device of the sessions.
State = dict[str, Tensor]


def device_named(name: str) -> OrtDevice:
    """Return the first device of a kind, `cpu` or `cuda`."""
    device: OrtDevice = _CPU if name == "cpu" else onnxruntime.OrtDevice.make(name, 0)._get_c_device()
    return device
