"""Operating points and the speed-quality curve from the exit logits of any model, also outside this project."""

import torch

from acl_lightning import Confidence, Entropy, ExitCosts, Patience, recommend, speed_quality_figure, sweep
from acl_lightning.exits import figure_points
from acl_lightning.metrics import quality


def main(file: str = "speed_quality.png") -> list[str]:
    """Draw the curve of random logits into `file`, print the recommended points, and return their names."""
    # Replace these two lines: logits (exits, samples, classes) and labels (samples,) of a validation set.
    labels = torch.randint(2, (1000,))
    logits = torch.arange(1, 7).view(6, 1, 1) * torch.nn.functional.one_hot(labels, 2) + 2 * torch.randn(6, 1000, 2)

    # Six exits, one behind each layer. Only relative FLOPs matter.
    costs = ExitCosts(layers_E=tuple(range(1, 7)), depth=6, flops_E=tuple(range(1, 7)), full_flops=6)
    selection = torch.rand(len(labels)) < 0.5  # chooses thresholds; the other samples are reported
    points = sweep(
        logits,
        labels,
        [Confidence(), Entropy(), Patience()],
        quality=lambda predictions, targets: quality("accuracy", predictions, targets),
        selection_B=selection,
        costs=costs,
    )
    chosen = recommend(points)  # drop0, drop1, drop2: at most so many points lost
    figure = speed_quality_figure(**figure_points(points, chosen), metric="accuracy", title="my model")
    figure.savefig(file)

    for name, point in chosen.items():
        print(f"{name}: {point.criterion} {point.threshold:g}, {point.quality:.1%} at {point.layer_speedup:.2f}x")
    return list(chosen)


if __name__ == "__main__":
    main()
