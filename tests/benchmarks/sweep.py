"""Time of a validation pass with the sweep of six criteria, relative to the pass alone.

Run by `make bench`. MiniLM with six exits is evaluated on a validation split (real SST-2 if ACL_LIGHTNING_GLUE is set,
generated reviews otherwise). The sweep evaluates confidence, entropy, margin, patience, PCEE and F-PABEE, criteria with
two parameters at about 100 pairs each, and every static exit, and recommends operating points. Pass and sweep are timed
alternately in the same process; ratios are computed for each round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch

from acl_lightning.data import GLUEDataModule
from acl_lightning.encoders import EncoderConfig, exit_flops, full_depth_flops
from acl_lightning.exits import FPABEE, PCEE, Confidence, Entropy, ExitCosts, Margin, Patience, recommend, sweep
from acl_lightning.metrics import quality


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    root = os.environ.get("ACL_LIGHTNING_GLUE")
    data = GLUEDataModule("sst2", source="local" if root else "synthetic", root=root)
    data.setup("validate")
    batches = list(data.val_dataloader())
    torch.manual_seed(0)
    encoder = EncoderConfig().build(2).eval()
    labels = torch.cat([batch["labels"] for batch in batches])
    selection = torch.cat([batch["selection"] for batch in batches])
    criteria = [Confidence(), Entropy(), Margin(), Patience(), PCEE(), FPABEE()]
    grid = {
        criterion.name: len(criterion.variants(2)) * len(criterion.thresholds(encoder.num_exits))
        for criterion in criteria
    }
    names = ("input_ids", "attention_mask", "token_type_ids")
    ratios, sweeps, passes = [], [], []
    for _ in range(arguments.rounds + 1):  # the first round warms up
        start = time.perf_counter()
        with torch.inference_mode():
            logits = torch.cat([encoder(**{n: batch[n] for n in names}).logits_EBC for batch in batches], dim=1)
        middle = time.perf_counter()
        costs = ExitCosts(encoder.exit_layers, encoder.depth, exit_flops(encoder, 25), full_depth_flops(encoder, 25))
        points = sweep(
            logits,
            labels,
            criteria,
            quality=lambda predicted, true: quality("accuracy", predicted, true),
            selection_B=selection,
            costs=costs,
        )
        recommend(points)
        end = time.perf_counter()
        passes.append(middle - start)
        sweeps.append(end - middle)
        ratios.append((end - start) / (middle - start))
    ratios = sorted(ratios[1:])
    source = "real SST-2 dev" if root else "generated reviews"
    print(f"\n{source}, {len(labels)} rows, grids {grid}, {len(points)} points, {torch.get_num_threads()} threads")
    print(f"  validation pass {statistics.median(passes[1:]):.2f} s, sweep {statistics.median(sweeps[1:]):.3f} s")
    print(
        f"  pass with sweep / pass   {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})  at most 1.10"
    )


if __name__ == "__main__":
    main()
