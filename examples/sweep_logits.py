"""Operating points and the speed-quality curve from the exit logits of any model, also outside this project."""

import torch

from acl_lightning import ExitCosts, ExitRecord, evaluate, speed_quality_figure
from acl_lightning.exits import figure_points


def main(file: str = "speed_quality.png") -> list[str]:
    """Draw the curve of random logits into `file`, print the recommended points, and return their names."""
    # Replace these lines: logits (exits, samples, classes), labels and numbers of tokens (samples,).
    n = 1000
    labels, tokens = torch.randint(2, (n,)), torch.full((n,), 20)
    logits = torch.arange(1, 7).view(6, 1, 1) * torch.nn.functional.one_hot(labels, 2) + 2 * torch.randn(6, n, 2)

    selection = torch.rand(n) < 0.5  # these samples select thresholds; the others are reported
    # Six exits, one behind each layer. Only relative FLOPs matter.
    costs = ExitCosts(layers_E=tuple(range(1, 7)), depth=6, flops_E=tuple(range(1, 7)), full_flops=6)
    record = ExitRecord(logits, labels, torch.arange(n), selection, tokens, costs)
    report = evaluate(record)  # drop0, drop1, drop2: the fastest points that lose at most so many points
    speed_quality_figure(
        **figure_points(report.points, report.recommended), metric="accuracy", title="my model"
    ).savefig(file)

    for name, point in report.recommended.items():
        print(f"{name}: {point.criterion_name} {point.threshold:g}, {point.quality:.1%} at {point.layer_speedup:.2f}x")
    return list(report.recommended)


if __name__ == "__main__":
    main()
