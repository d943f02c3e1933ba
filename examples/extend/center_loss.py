"""An objective from outside the package: the distance of a sample to the embedding of its label.

On the command line, with this directory as the working directory:

    python -m acl_lightning fit --config quickstart.yaml --model.objective=acl_lightning.objectives.WeightedObjective \
        --model.objective.init_args.auxiliary=center_loss.CenterLoss
"""

import torch
from torch import Tensor

from acl_lightning import ExitOutputs, Term, WeightedObjective


class CenterLoss(Term):
    """Mean squared distance of every sample to the embedding of its label, at every exit."""

    name = "center"

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,)."""
        difference_EBD = outputs.embeddings_EBD - outputs.label_embeddings_ECD[:, labels_B]
        return difference_EBD.square().mean(dim=(1, 2))


def main() -> dict[str, float]:
    """Evaluate an objective with the term on random outputs, print its terms and return them."""
    torch.manual_seed(0)
    outputs = ExitOutputs(torch.randn(3, 8, 16), torch.randn(3, 8, 2), torch.randn(3, 2, 16))
    objective = WeightedObjective(CenterLoss(), weight=0.1)
    terms = {name: term.item() for name, term in objective(outputs, torch.randint(2, (8,))).items()}
    print(terms)
    return terms


if __name__ == "__main__":
    main()
