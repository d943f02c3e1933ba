"""Random outputs of a multi-exit encoder, with labels."""

from __future__ import annotations

import torch

from acl_lightning.outputs import ExitOutputs


def outputs(seed=0, E=3, B=8, D=5, C=3, dtype=torch.float64, scale=1.0):
    """Leaf tensors of normal entries times `scale`, and random labels."""
    generator = torch.Generator().manual_seed(seed)
    tensors = [
        (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
        for shape in ((E, B, D), (E, B, C), (E, C, D))
    ]
    labels = torch.randint(C, (B,), generator=generator)
    return ExitOutputs(*tensors), labels
