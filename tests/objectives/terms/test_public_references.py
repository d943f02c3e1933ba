"""SCL against pytorch-metric-learning, including the cases in which the definitions differ."""

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss

from acl_lightning.objectives import acl_embed, supervised_contrastive


def samples(seed, labels):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(labels), 6, generator=generator, dtype=torch.float64), torch.tensor(labels)


MIXED = {
    "pairs": [0, 0, 1, 1, 2, 2],
    "unequal classes": [0, 1, 1, 1, 1, 2, 2, 0],
    "anchors without a positive": [0, 1, 1, 2, 3, 3, 3],
}


@pytest.mark.parametrize("tau", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("case", MIXED)
def test_scl_and_its_gradient_are_those_of_supcon(case, tau):
    """Its reducer averages over losses that are not zero, which leaves out the anchors without a positive, as we do."""
    z, labels = samples(1, MIXED[case])
    ours, theirs = z.clone().requires_grad_(), z.clone().requires_grad_()
    loss = supervised_contrastive(ours.unsqueeze(0), labels, tau)[0]
    expected = SupConLoss(temperature=tau)(theirs, labels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_acl_embed_is_supcon_over_the_union():
    z, labels = samples(2, [0, 1, 1, 2, 0])
    w, classes = samples(3, [0, 1, 2])
    expected = SupConLoss(temperature=0.3)(torch.cat([z, w]), torch.cat([labels, classes]))
    found = acl_embed(z.unsqueeze(0), labels, w.unsqueeze(0), 0.3, label_anchors=True)
    torch.testing.assert_close(found[0], expected)


def test_the_references_differ_for_a_batch_with_a_single_class():
    """Without a negative SupConLoss gives 0. The formula does not: the positives compete with each other."""
    z, labels = samples(4, [1, 1, 1])
    assert SupConLoss(temperature=0.3)(z, labels).item() == 0
    assert supervised_contrastive(z.unsqueeze(0), labels, 0.3).item() > 0.1
