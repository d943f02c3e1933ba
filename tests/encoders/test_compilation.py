"""Compiled layers: equal to eager ones, few graphs, no new names, two backward passes."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._functorch import config as functorch_config

from acl_lightning.encoders import EncoderConfig, compilation
from acl_lightning.gradients import AutogradRows

#: torch looks at `.grad` of inner tensors while tracing, and hides the warning from users but not from an error filter.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture
def graphs(monkeypatch) -> CompileCounterWithBackend:
    """Compile without code generation, counting the graphs."""
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(compilation, "BACKEND", counter)
    compilation.compiled.cache_clear()
    with functorch_config.patch(donated_buffer=True):  # as torch sets it for other uses
        yield counter
    compilation.compiled.cache_clear()
    torch._dynamo.reset()


def encoder(backbone, **settings):
    torch.manual_seed(0)
    built = EncoderConfig(backbone=backbone, dropout=0.0, **settings).build(2)
    for module in built.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return built


def batch(size, length):
    generator = torch.Generator().manual_seed(length)
    ids, mask = torch.randint(5, 1000, (size, length), generator=generator), torch.ones(size, length, dtype=torch.long)
    mask[0, length // 2 :] = 0
    return ids, mask


def rows(model, inputs):
    logits = model(*inputs).logits_EBC
    return AutogradRows().rows([logits.square().mean(), logits.sin().sum()], list(model.parameters()))


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
def test_compiled_layers_equal_eager_ones_at_every_length(checkpointing, tiny_backbone, graphs):
    eager = encoder(tiny_backbone)
    fast = encoder(tiny_backbone, compile_layers=True, gradient_checkpointing=checkpointing)
    assert fast.state_dict().keys() == eager.state_dict().keys()
    for size, length in ((4, 12), (4, 9), (3, 15), (2, 7)):
        inputs = batch(size, length)
        for expected, found in zip(rows(eager, inputs), rows(fast, inputs), strict=True):
            for a, b in zip(expected, found, strict=True):
                assert (a is None) == (b is None)
                if a is not None:
                    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert 0 < graphs.frame_count <= 3  # tokens at two degrees of generality, and the last layer's exit row
