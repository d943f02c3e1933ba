"""The device of the tests marked `gpu`."""

import os

import pytest
import torch

#: Where the tests run. `cpu` runs their logic without a GPU.
DEVICE = os.environ.get("ACL_LIGHTNING_GPU_DEVICE", "cuda")


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The GPU, or a skip where there is none."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device; ACL_LIGHTNING_GPU_DEVICE=cpu runs these tests on the CPU")
    return torch.device(DEVICE)


@pytest.fixture(scope="session")
def accelerator(device) -> str:
    """Lightning's name of the device."""
    return "gpu" if device.type == "cuda" else device.type
