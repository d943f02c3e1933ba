"""Options and output that the commands `collect`, `curves`, `conflicts` and `embeddings` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acl_lightning.cli.arguments import Parser, path

if TYPE_CHECKING:
    from acl_lightning.studies.report import Report


def study_parser(name: str, description: str, example: str) -> Parser:
    """Return the parser of a study: run directories, `--out` and `--names`.

    Args:
        name: Name of the command.
        description: What the command does.
        example: Arguments of an example call after the name of the command.
    """
    parser = Parser(prog=f"acl_lightning {name}", description=description, example=f"{name} {example}")
    runs = parser.add_argument_group("runs")
    runs.add_argument("runs", nargs="+", type=path, metavar="RUN", help="directory of a run")
    runs.add_argument(
        "--names",
        type=_names,
        metavar="A,B,...",
        help="names of the groups of runs that differ in the seed only, in order of appearance (default: their "
        "configuration files, or the settings in which they differ)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", required=True, type=path, metavar="DIR", help="directory to write to; existing files are replaced"
    )
    return parser


def publish(report: Report, out: Path, name: str, arguments: Sequence[str]) -> int:
    """Write and print a report. Returns exit code 0.

    Args:
        report: What the study gave.
        out: Directory to write to.
        name: Name of the command.
        arguments: Arguments of the command, for the provenance.

    Raises:
        UserError: The file system refuses a write.
    """
    report.write(out, ["python", "-m", "acl_lightning", name, *arguments])
    report.show()
    print(f"Files: {out}")  # noqa: T201
    return 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]
