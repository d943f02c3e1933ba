"""R-Drop: agreement of two forward passes with different dropout (Liang et al., NeurIPS 2021)."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.objectives.terms.base import Term
from acl_lightning.outputs import ExitOutputs


def symmetric_divergence(first_EBC: Tensor, second_EBC: Tensor) -> Tensor:
    r"""Return `(KL(p || q) + KL(q || p)) / 2`, averaged over the batch, for every exit: (E,), in nats.

    .. math:: \frac{1}{2 B} \sum_b \sum_c (p_{bc} - q_{bc}) (\ln p_{bc} - \ln q_{bc})

    Args:
        first_EBC: Logits of the distributions p.
        second_EBC: Logits of the distributions q.
    """
    log_p_EBC, log_q_EBC = first_EBC.log_softmax(dim=-1), second_EBC.log_softmax(dim=-1)
    difference_EBC = (log_p_EBC.exp() - log_q_EBC.exp()) * (log_p_EBC - log_q_EBC)
    return difference_EBC.sum(dim=-1).mean(dim=1) / 2


class RDrop(Term):
    """Symmetric KL divergence between the predictions of two views, at every exit; both views have a gradient.

    The term needs two views: the samples of a batch pass through the model twice, and the cross-entropy is the mean
    over both. The total `CE + alpha RDrop` is the paper's loss divided by 2, with its alpha halved: the paper adds the
    two cross-entropies and `alpha (KL + KL) / 2`. The paper has a single classifier; the term at every exit is our
    extension.
    """

    name = "r_drop"
    num_views = 2

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), in nats.

        Raises:
            UserError: The outputs do not have two views.
        """
        if outputs.views != 2:
            raise UserError(
                f"outputs with 2 views for {self.name}", f"{outputs.views}", "Make RDrop a term of model.objective."
            )
        first_EBC, second_EBC = outputs.logits_EBC.chunk(2, dim=1)
        return symmetric_divergence(first_EBC, second_EBC)
