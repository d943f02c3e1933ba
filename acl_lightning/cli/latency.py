"""`python -m acl_lightning latency RUN`."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, Static
from acl_lightning.exits.inference import MODES
from acl_lightning.export.served_points import resolve_point, served_points
from acl_lightning.figures import measured_speed_figure
from acl_lightning.files import replaced_atomically, write_text_atomically
from acl_lightning.latency.exit_times import measure_exits
from acl_lightning.latency.inputs import Inputs, on_device, text_batches, validation_batches
from acl_lightning.latency.measurement import Measured, measure
from acl_lightning.latency.plain_model import plain_model
from acl_lightning.latency.report import Circumstances, exit_csv, latency_csv, table
from acl_lightning.latency.stopwatch import Spread
from acl_lightning.runs import load_run, read_result

Points = dict[str, tuple[Criterion, float]]

#: Name of the point at which nobody leaves early.
FULL_DEPTH = "full_depth"


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write `latency.csv`, `exit_latency.csv` and `latency.png`.

    `exit_latency.csv` holds the times of the exits in the first mode; `points --table` chooses operating points by it.

    Raises:
        UserError: no such run, checkpoint, operating point, mode or text; a number that is not positive.
    """
    given = _parsed(arguments)
    result = read_result(given.run).to_json()
    chosen, quality = _points(result, given.operating_point)
    device = _device(given.device)
    module, data = load_run(given.run, given.ckpt_path)
    if given.data is None:
        batches = validation_batches(data, given.batch_size, given.rows)
    else:
        batches = text_batches(data, given.data, given.batch_size, given.rows, given.text_column)
    encoder = module.encoder.to(device)
    batches = on_device(batches, device)
    reference = plain_model(data.tokenizer_source, encoder.num_labels, device)
    points = {FULL_DEPTH: (Static(), float(encoder.num_exits)), **chosen}
    measured = measure(encoder, reference, points, batches, modes=given.mode, repeats=given.repeats)
    exits = measure_exits(encoder, reference, batches, mode=given.mode[0], repeats=given.repeats)
    circumstances = _circumstances(batches, given)
    out = given.out or given.run
    write_text_atomically(out / "latency.csv", latency_csv(measured, quality, circumstances))
    write_text_atomically(out / "exit_latency.csv", exit_csv(exits, given.mode[0], circumstances))
    _draw(measured, quality, result, circumstances, out / "latency.png")
    print(table(measured, circumstances))  # noqa: T201 - the command's answer
    print(f"latency.csv, exit_latency.csv and latency.png written to {out}")  # noqa: T201
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="acl_lightning latency",
        description="Time a run's operating points on this machine, against the plain Hugging Face model.",
    )
    parser.add_argument("run", type=path, help="directory of a finished run")
    parser.add_argument("--ckpt_path", help="best, last or a file (default: the one that the result is about)")
    parser.add_argument("--operating_point", nargs="+", metavar="NAME", help="default: all recommended ones")
    parser.add_argument("--mode", nargs="+", default=list(MODES), metavar="MODE", help=f"default: {' '.join(MODES)}")
    parser.add_argument("--batch_size", type=int, default=32, help="default: 32")
    parser.add_argument("--repeats", type=int, default=5, help="rounds after the warm-up (default: 5)")
    parser.add_argument(
        "--rows", type=int, default=256, help="samples to time (default: the first 256, a window of throughput mode)"
    )
    parser.add_argument(
        "--data", type=path, help="texts: .csv, .tsv, .jsonl, or a file of one text per line (default: validation)"
    )
    parser.add_argument(
        "--text_column",
        "--text-column",
        nargs="+",
        metavar="NAME",
        help="column of the texts in a .csv, .tsv or .jsonl, two for pairs (default: as the task names them)",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=path, help="directory to write to (default: the run)")
    given = parser.parse_args(list(arguments))
    for name in ("batch_size", "repeats", "rows"):
        if getattr(given, name) < 1:
            raise UserError(f"--{name} of 1 or more", f"{getattr(given, name)}", "Raise it.")
    if given.text_column and given.data is None:
        raise UserError("--data beside --text_column", "none", "Give --data FILE, or omit --text_column.")
    unknown = [mode for mode in given.mode if mode not in MODES]
    if unknown:
        raise UserError(f"modes among {', '.join(MODES)}", repr(unknown[0]), "Choose one or more of them.")
    return given


def _device(name: str) -> torch.device:
    """A device of this machine.

    Raises:
        UserError: there is none of that name.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError("a device of this machine", f"{name!r} ({reason})", "Set --device cpu.") from error
    return device


def _points(result: Mapping[str, Any], names: Sequence[str] | None) -> tuple[Points, dict[str, float | None]]:
    """The operating points that are asked for, all by default, and what quality the result says they have."""
    served = served_points(result)
    chosen = {name: resolve_point(served, name, ()) for name in (served if names is None else names)}
    quality = {name: served[name]["measured"].get("quality") for name in chosen}
    full = (result.get("full_depth") or {}).get(result.get("metric"))
    return chosen, {FULL_DEPTH: full, **quality}


def _circumstances(batches: list[Inputs], given: argparse.Namespace) -> Circumstances:
    samples = sum(len(batch["input_ids"]) for batch in batches)
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    device = torch.device(given.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"
    return Circumstances(
        device=name,
        threads=torch.get_num_threads(),
        batch_size=given.batch_size,
        samples=samples,
        mean_tokens=round(tokens / samples, 1),
        repeats=given.repeats,
    )


def _draw(
    measured: Sequence[Measured],
    quality: Mapping[str, float | None],
    result: Mapping[str, Any],
    circumstances: Circumstances,
    path: Path,
) -> None:
    """Write the figure of the points whose quality is known."""
    known = [one for one in measured if quality.get(one.name) is not None]
    spreads: dict[str, dict[str, Spread]] = {}
    for one in known:
        spreads.setdefault(one.mode, {})[one.name] = one.measured_speedup
    figure = measured_speed_figure(
        {one.name: float(quality[one.name] or 0.0) for one in known},
        {one.name: {"layers": one.layer_speedup, "FLOPs": one.flops_speedup} for one in known},
        spreads,
        metric=str(result.get("metric") or "quality"),
        title=f"{result.get('task')}, {circumstances.device}, {circumstances.threads} threads",
    )
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, dpi=150)
