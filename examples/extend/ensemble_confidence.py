"""An exit criterion from outside the package: the mean confidence of all exits so far.

On the command line, with this directory as the working directory:

    python -m acl_lightning fit --config quickstart.yaml \
        --exit_sweep.criteria='[acl_lightning.exits.Confidence, ensemble_confidence.EnsembleConfidence]'

Commands that read a finished run import only this package and what is named with --trust:

    acl-lightning curves RUN --out OUT --criterion ensemble_confidence --trust ensemble_confidence
"""

import torch
from torch import Tensor

from acl_lightning import Criterion, UserError, register_criterion

#: Largest float32 below 1: the threshold 1 means "never leave early".
BELOW_ONE = 1 - 2**-24


@register_criterion
class EnsembleConfidence(Criterion):
    """Mean over the exits so far of the probability that they give to the answer of this exit."""

    name = "ensemble_confidence"

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return certainties (E, B); the value at an exit depends on this and earlier exits only."""
        probabilities_EBC = logits_EBC.float().softmax(dim=-1)
        counts_E11 = torch.arange(1, len(logits_EBC) + 1, device=logits_EBC.device).view(-1, 1, 1)
        means_EBC = probabilities_EBC.cumsum(dim=0) / counts_E11
        certainty_EB = means_EBC.gather(-1, logits_EBC.argmax(-1, keepdim=True)).squeeze(-1)
        return certainty_EB.clamp(max=BELOW_ONE).nan_to_num(-torch.inf)

    def thresholds(self, num_exits: int) -> list[float]:
        """Return the thresholds that a sweep tries."""
        return [number / 50 for number in range(51)]

    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` unless the threshold is between 0 and 1."""
        if not 0 <= threshold <= 1:
            raise UserError(f"a threshold of {self.name} from 0 to 1", f"{threshold}", "Set it to 0.8, for example.")


def main() -> list[float]:
    """Print the certainties of one sample at three exits and return them."""
    certainty = EnsembleConfidence().certainty(torch.tensor([[[0.0, 1.0]], [[0.0, 2.0]], [[0.0, 3.0]]])).flatten()
    print(certainty)
    return certainty.tolist()


if __name__ == "__main__":
    main()
