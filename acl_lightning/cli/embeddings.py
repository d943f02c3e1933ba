"""`python -m acl_lightning embeddings RUN [RUN ...] --out DIR`."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.cli.studies import publish, study_parser


def main(arguments: Sequence[str]) -> int:
    """Compare runs by measures and maps of their embeddings. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: See `acl_lightning.studies.embeddings.embeddings`.
    """
    parser = study_parser(
        "embeddings",
        "Compare finished runs of one task by what the callback RepresentationDiagnostics measured: measures of the "
        "representation at every exit, and a map of the samples at one exit.",
        "runs/ce-seed0 runs/acl-seed0 --names CE,ACL --layer 6 --out results",
    )
    figures = parser.add_argument_group("figures")
    figures.add_argument(
        "--layer", type=int, metavar="LAYER", help="exit of the map (default: the deepest exit that all runs stored)"
    )
    options = parser.parse_args(list(arguments))

    from acl_lightning.studies.embeddings import embeddings

    report = embeddings(options.runs, options.names, options.layer)
    return publish(report, options.out, "embeddings", arguments)
