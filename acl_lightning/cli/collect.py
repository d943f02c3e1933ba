"""`python -m acl_lightning collect RUN [RUN ...] --out DIR`."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.cli.studies import publish, study_parser


def main(arguments: Sequence[str]) -> int:
    """Compare runs by their results. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: See `acl_lightning.studies.collect.collect`.
    """
    parser = study_parser(
        "collect",
        "Compare finished runs by their results: quality of every exit, recommended operating points, and "
        "speed-quality curves, as mean and standard deviation over seeds.",
        "runs/ce-* runs/acl-* --names CE,ACL --out results",
    )
    figures = parser.add_argument_group("figures")
    figures.add_argument("--criterion", default="entropy", metavar="NAME", help="criterion of the curves")
    options = parser.parse_args(list(arguments))

    from acl_lightning.studies.collect import collect

    report = collect(options.runs, options.criterion, options.names)
    return publish(report, options.out, "collect", arguments)
