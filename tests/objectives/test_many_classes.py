"""ACL-Embed with more classes than samples, where most label embeddings have no positive."""

import pytest
import torch

from acl_lightning.objectives import ACLEmbed
from acl_lightning.objectives.terms.contrastive.similarity import contrastive_loss
from acl_lightning.outputs import ExitOutputs


@pytest.mark.parametrize("labels", [[0, 5, 5, 39], [7, 7, 7, 7]])
def test_anchors_without_a_positive_change_neither_loss_nor_gradient(labels):
    generator = torch.Generator().manual_seed(0)
    samples, classes, width = 4, 40, 6
    embeddings = torch.randn(2, samples, width, generator=generator, dtype=torch.float64, requires_grad=True)
    label_embeddings = torch.randn(2, classes, width, generator=generator, dtype=torch.float64, requires_grad=True)
    labels_B = torch.tensor(labels)
    outputs = ExitOutputs(embeddings, torch.zeros(2, samples, classes, dtype=torch.float64), label_embeddings)
    fast = ACLEmbed(0.3).per_exit(outputs, labels_B)

    union = torch.cat([embeddings, label_embeddings], dim=1)
    labels_U = torch.cat([labels_B, torch.arange(classes)])
    others = ~torch.eye(samples + classes, dtype=torch.bool)
    whole = contrastive_loss(union, union, (labels_U[:, None] == labels_U) & others, others, 0.3)
    assert fast.tolist() == pytest.approx(whole.tolist(), rel=1e-12)
    gradients = [
        torch.autograd.grad(loss.sum(), (embeddings, label_embeddings), retain_graph=True) for loss in (fast, whole)
    ]
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-10, atol=1e-12)
