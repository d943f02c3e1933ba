"""`python -m acl_lightning study report SWEEP`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from acl_lightning.cli.study.arguments import sweep_parser
from acl_lightning.cli.study.table import add_output_options, compared


def main(arguments: Sequence[str]) -> int:
    """Write the tables of a study and a page with all of its results. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: The sweep, `table.yaml` or an option is wrong, or no trial is finished.
    """
    parser = sweep_parser(
        "report",
        "Write report.html, one page with question, tables, curves, angles, embeddings, provenance and commands, which "
        "needs no other file; and the files of `study table`.",
        "experiments/few_shot_table/sweep.yaml",
    )
    add_output_options(parser)
    options = parser.parse_args(list(arguments))

    from acl_lightning.files import write_text_atomically
    from acl_lightning.studies.page import page_html

    program = ["python", "-m", "acl_lightning"]
    comparison, out = compared(options)
    comparison.write(out, [*program, "study", "report", *arguments])
    shared = [shlex.quote(argument) for argument in arguments]
    selection = [str(options.sweep), *(word for item in options.set for word in ("--set", shlex.quote(item)))]
    first = comparison.values.results()[0].trial.directory
    commands = {
        "Run the trials that are missing": [*program, "study", "run", *selection, "--trials", str(options.trials)],
        "Write this page again": [*program, "study", "report", *shared],
        "Repeat one of the trials": [*program, "fit", "--config", f"{first}/config.yaml", "--run_dir=null"],
    }
    write_text_atomically(out / "report.html", page_html(comparison, options.sweep.parent, commands))
    print(f"Report: {out / 'report.html'}")  # noqa: T201
    return 0
