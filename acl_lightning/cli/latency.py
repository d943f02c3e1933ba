"""The command `python -m acl_lightning latency RUN`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.errors import UserError

#: Modes of the adaptive runtime, `acl_lightning.exits.inference.MODES`. Importing them would import torch.
MODES = ("latency", "batch", "throughput")


def main(arguments: Sequence[str]) -> int:
    """Time a run, print a table, and write `latency.csv`, `exit_latency.csv` and `latency.png`. Returns exit code 0.

    `exit_latency.csv` holds the times of the exits in the first mode; `points --table` selects operating points by it.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: An option is out of range, or `time_run` raises it.
    """
    options = _parsed(arguments)

    import torch

    from acl_lightning.latency.report import table, write_report
    from acl_lightning.latency.run_times import time_run

    times = time_run(
        options.run,
        checkpoint=options.ckpt_path,
        operating_points=options.operating_point,
        modes=options.mode,
        batch_size=options.batch_size,
        repeats=options.repeats,
        rows=options.rows,
        texts=options.data,
        text_columns=options.text_column,
        device=options.device or ("cuda" if torch.cuda.is_available() else "cpu"),
    )
    out = options.out or options.run
    write_report(times, out)
    print(table(times))  # noqa: T201
    print(f"latency.csv, exit_latency.csv and latency.png written to {out}")  # noqa: T201
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(list(arguments))
    for name in ("batch_size", "repeats", "rows"):
        if getattr(options, name) < 1:
            default = parser.get_default(name)
            raise UserError(
                f"--{name} of 1 or more", f"{getattr(options, name)}", f"Set it to 1 or more (default {default})."
            )
    if options.text_column and options.data is None:
        raise UserError("--data together with --text_column", "none", "Add --data FILE, or remove --text_column.")
    unknown = [mode for mode in options.mode if mode not in MODES]
    if unknown:
        raise UserError(f"modes among {', '.join(MODES)}", repr(unknown[0]), "Set --mode to one or more of them.")
    return options


def _parser() -> Parser:
    parser = Parser(
        prog="acl_lightning latency",
        description="Time a run's operating points on this machine, compared with the plain Hugging Face model. "
        "Writes latency.csv, exit_latency.csv and latency.png.",
        example="latency runs/first --operating_point drop1 --batch_size 1",
    )
    model = parser.add_argument_group("model")
    model.add_argument("run", type=path, metavar="RUN", help="directory of a finished run")
    model.add_argument(
        "--ckpt_path", metavar="FILE", help="best, last or a file (default: the checkpoint that the result is about)"
    )
    model.add_argument(
        "--operating_point",
        nargs="+",
        metavar="NAME",
        help="operating points to time besides full depth (default: all recommended points)",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        type=path,
        metavar="FILE",
        help="texts to time: .csv, .tsv, .jsonl, or a file with one text per line (default: the run's validation data)",
    )
    data.add_argument(
        "--text_column",
        "--text-column",
        nargs="+",
        metavar="NAME",
        help="column of the texts in a .csv, .tsv or .jsonl file, two for pairs (default: those of the task)",
    )
    data.add_argument("--rows", type=int, default=256, help="largest number of samples (default: 256)")
    timing = parser.add_argument_group("timing")
    timing.add_argument(
        "--mode",
        nargs="+",
        default=list(MODES),
        metavar="MODE",
        help=f"{', '.join(MODES)} (default: all)",
    )
    timing.add_argument("--batch_size", type=int, default=32, help="samples in a batch (default: 32)")
    timing.add_argument("--repeats", type=int, default=5, help="rounds after the warm-up (default: 5)")
    timing.add_argument("--device", metavar="NAME", help="device of the models (default: cuda if available, else cpu)")
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=path, metavar="DIR", help="directory to write to (default: the run)")
    return parser
