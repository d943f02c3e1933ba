"""Device of the tests marked `gpu`."""

import os

import pytest
import torch

#: Type of the device. `cpu` tests the logic of the tests without a GPU.
DEVICE = os.environ.get("ACL_LIGHTNING_GPU_DEVICE", "cuda")


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The GPU; the test is skipped without it."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device; ACL_LIGHTNING_GPU_DEVICE=cpu runs these tests on the CPU")
    return torch.device(DEVICE)


@pytest.fixture(scope="session")
def accelerator(device) -> str:
    """Name of the device in Lightning."""
    return "gpu" if device.type == "cuda" else device.type
