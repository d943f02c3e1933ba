"""`python -m acl_lightning curves RUN [RUN ...] --out DIR`."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.cli.studies import publish, study_parser

#: Value of `--speed` -> speed-up.
SPEEDS = {"layer": "layer_speedup", "flops": "flops_speedup"}


def main(arguments: Sequence[str]) -> int:
    """Compare runs by the speed-quality curves of their stored logits. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: See `acl_lightning.studies.curves.study.curves`.
    """
    parser = study_parser(
        "curves",
        "Compare runs of one task by the speed-quality curves of their stored logits, for any criterion, with bands "
        "and an oracle. Runs with one exit, such as model.encoder.exits=[3], are the baseline.",
        "runs/acl-* runs/cut-* --criterion patience --out results",
    )
    figures = parser.add_argument_group("figures")
    figures.add_argument(
        "--criterion", metavar="NAME", help="criterion of the curves (default: entropy; patience for a regression)"
    )
    figures.add_argument("--speed", choices=SPEEDS, default="layer", help="speed-up on the horizontal axis")
    options = parser.parse_args(list(arguments))

    from acl_lightning.studies.curves.study import curves

    report = curves(options.runs, options.criterion, SPEEDS[options.speed], options.names)
    return publish(report, options.out, "curves", arguments)
