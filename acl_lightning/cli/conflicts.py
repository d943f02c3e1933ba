"""`python -m acl_lightning conflicts RUN [RUN ...] --out DIR`."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.cli.studies import publish, study_parser


def main(arguments: Sequence[str]) -> int:
    """Compare runs by the angles between the gradients of their loss terms. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: See `acl_lightning.studies.conflicts.conflicts`.
    """
    parser = study_parser(
        "conflicts",
        "Compare runs by the gradients that the callback GradientProbe recorded: angles between loss terms, how often "
        "they conflict, and how often a cheaper scope makes the same decision.",
        "runs/pilot-* --out results",
    )
    options = parser.parse_args(list(arguments))

    from acl_lightning.studies.conflicts import conflicts

    return publish(conflicts(options.runs, options.names), options.out, "conflicts", arguments)
