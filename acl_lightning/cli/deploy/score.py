"""The command `score`: labels, confidences and exit layers for the rows of a file, with a package, without torch."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.cli.deploy.extra import missing_package
from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically

if TYPE_CHECKING:
    from acl_lightning.scoring import SampleColumns, ScoreFile, SourceFormat, Tally
    from acl_lightning.serving import AdaptiveSession, Manifest, ServedPoint
    from acl_lightning.table_files.base import Table


def main(arguments: Sequence[str]) -> int:
    """Answer every row of a file and print how many there were; with `--report` also whether the inputs drifted.

    Args:
        arguments: Arguments after the name of the command.

    Returns:
        Exit code 0.

    Raises:
        UserError: A mistake in the options, the package, the input or the output; see `acl_lightning.scoring`.
    """
    options = _parsed(arguments)

    try:
        from acl_lightning.scoring import ScoreFile, Tally, open_source, score
        from acl_lightning.scoring.progress import ScoringProgress
        from acl_lightning.scoring.row_formats import row_format
        from acl_lightning.scoring.table_scoring import answer_columns, output_names
        from acl_lightning.serving.manifest import read_manifest
    except ImportError as error:
        raise missing_package(error) from error

    # Mistakes are reported before anything is written or a model is loaded.
    manifest = read_manifest(options.package, check_files=False)
    point = _point(manifest, options.operating_point)
    _check_files(options, point)
    table = open_source(options.input, _source_format(options))
    columns = _columns(options, manifest.text_columns, table)
    answers = answer_columns(manifest)
    rows = row_format(options.output, table, answers, output_names(table, answers))
    session = _session(options, point.name)
    tally = Tally(manifest.exit_layers, len(manifest.label_names))
    identity = _identity(manifest, point, columns, table)
    file = ScoreFile(options.output, rows, identity, tally, overwrite=options.overwrite)
    start = time.monotonic()
    try:
        with ScoringProgress(getattr(table, "num_rows", None), file.resumed) as progress:
            score(session, table, columns, file, skips_invalid=options.skip_invalid, report_rows=progress.update)
        findings = _finish(options, manifest, point, file)
    finally:
        file.close()
    print(_summary(options.output, tally, file.resumed, time.monotonic() - start, manifest.content["depth"]))  # noqa: T201
    for sentence in findings:
        print(sentence)  # noqa: T201
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="acl_lightning score",
        description="Answer every row of a CSV, TSV, JSON Lines, Parquet or text file with an adaptive ONNX package, "
        "without torch. The output has all columns of the input, and label, confidence and exit_layer, in the order of "
        "the input. A command that was killed continues when it is repeated.",
        example="score package --input reviews.csv --text body --output scores.csv --report drift.json",
    )
    package = parser.add_argument_group("package")
    package.add_argument("package", type=path, metavar="DIR", help="directory that `export --format onnx` wrote")
    package.add_argument(
        "--operating-point",
        metavar="NAME",
        help="operating point, or full_depth (default: the recommended point of the package, else full_depth)",
    )
    package.add_argument("--threads", type=int, default=1, metavar="N", help="threads of an operator")
    package.add_argument(
        "--providers",
        nargs="+",
        default=["CPUExecutionProvider"],
        metavar="NAME",
        help="execution providers of onnxruntime (default: CPUExecutionProvider)",
    )
    package.add_argument("--batch-size", type=int, default=32, metavar="N", help="samples of a batch")
    source = parser.add_argument_group("input")
    source.add_argument("--input", required=True, metavar="FILE", help="file, or - for standard input")
    source.add_argument(
        "--text", nargs="+", metavar="COLUMN", help="text columns, two for pairs (default: those of the training data)"
    )
    source.add_argument("--label", metavar="COLUMN", help="column with labels, for the quality in the report")
    source.add_argument(
        "--input-format",
        choices=["csv", "tsv", "jsonl", "parquet", "text"],
        help="format; text has one text per line (default: by the suffix)",
    )
    source.add_argument("--delimiter", metavar="CHARACTER", help="character between fields of CSV and TSV")
    source.add_argument(
        "--quoting", choices=["true", "false"], help="whether fields may be quoted (default: true for CSV only)"
    )
    source.add_argument("--encoding", default="utf-8", help="encoding of text files")
    source.add_argument(
        "--max-characters", type=int, default=1_000_000, metavar="N", help="largest number of characters of a text"
    )
    source.add_argument(
        "--skip-invalid",
        action="store_true",
        help="write rows whose text is empty, too long or not text without an answer (default: an error)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", type=path, required=True, metavar="FILE", help="file to write: .csv, .jsonl or .parquet"
    )
    output.add_argument("--overwrite", action="store_true", help="replace existing files (default: an error)")
    output.add_argument(
        "--report", type=path, metavar="FILE", help="JSON file: comparison with the validation rows of the package"
    )
    output.add_argument(
        "--false-alarm-rate",
        type=float,
        default=0.01,
        metavar="RATE",
        help="largest probability of a reported drift where there is none",
    )
    options = parser.parse_args(list(arguments))
    if options.label is not None and options.report is None:
        raise UserError("--report together with --label", "none", "Add --report drift.json, or remove --label.")
    return options


def _point(manifest: Manifest, name: str | None) -> ServedPoint:
    """Return the operating point of a name; None: the recommended point of the package, else full depth."""
    from acl_lightning.serving.manifest import FULL_DEPTH

    name = name or manifest.content.get("recommended_point")
    return manifest.point(None if name == FULL_DEPTH else name)


def _check_files(options: argparse.Namespace, point: ServedPoint) -> None:
    """Check the options about files and the report."""
    from acl_lightning.scoring.report import check_false_alarm_rate, check_validation
    from acl_lightning.scoring.score_file import check_output

    check_output(options.output, overwrite=options.overwrite)
    if options.report is not None:
        check_output(options.report, overwrite=options.overwrite, setting="--report")
        check_validation(point)
        check_false_alarm_rate(options.false_alarm_rate)


def _source_format(options: argparse.Namespace) -> SourceFormat:
    from acl_lightning.scoring import SourceFormat

    quoting = None if options.quoting is None else options.quoting == "true"
    return SourceFormat(options.input_format, options.delimiter, quoting, options.encoding, options.skip_invalid)


def _session(options: argparse.Namespace, point: str) -> AdaptiveSession:
    from acl_lightning.serving import AdaptiveSession

    return AdaptiveSession(
        options.package,
        point,
        "throughput",
        threads=options.threads,
        providers=options.providers,
        batch_size=options.batch_size,
        max_characters=options.max_characters,
    )


def _identity(manifest: Manifest, point: ServedPoint, columns: SampleColumns, table: Table) -> dict[str, str]:
    """Return what the output depends on beside the input rows. Rows without a valid text stop a command or are skipped.

    So a command that stopped at an invalid row continues with `--skip-invalid`, or when the row is corrected.
    """
    from acl_lightning.serving.manifest import MANIFEST, describe_file

    return {
        "package": describe_file(manifest.directory / MANIFEST)["sha256"],
        "operating point": point.name,
        "text columns": ", ".join(columns.text),
        "label column": columns.label or "none",
        "input columns": ", ".join(table.columns),
    }


def _columns(options: argparse.Namespace, trained: Sequence[str], table: Table) -> SampleColumns:
    """Return the columns that are read, after a check that the table has them."""
    from acl_lightning.scoring import SampleColumns
    from acl_lightning.scoring.source import check_columns, unsplit

    alone = len(table.columns) == 1 == len(trained) and not unsplit(table)
    text = tuple(options.text or (table.columns if alone else trained))
    if len(text) != len(trained) or len(set(text)) < len(text):
        expected = "one text column" if len(trained) == 1 else "two different text columns"
        raise UserError(
            f"{expected} as --text, for the package's {', '.join(trained)}",
            ", ".join(text),
            f"Set --text to {'one' if len(trained) == 1 else 'two'} of {', '.join(table.columns)}.",
        )
    check_columns(text, table, "--text")
    if options.label is not None:
        check_columns([options.label], table, "--label")
    return SampleColumns(text, options.label)


def _finish(options: argparse.Namespace, manifest: Manifest, point: ServedPoint, file: ScoreFile) -> tuple[str, ...]:
    """Give the output its name, then the report; return the findings of the report.

    The report gets its name last: without it, a command that was killed before the output was complete would find a
    report that exists when it is repeated.
    """
    if options.report is None:
        file.finish()
        return ()
    from acl_lightning.scoring import drift_report

    report = drift_report(file.tally, manifest, point, options.false_alarm_rate)
    with replaced_atomically(options.report, "--report") as temporary:
        temporary.write_text(json.dumps(report.content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        file.finish()
    return report.findings


def _summary(output: Path, tally: Tally, resumed: int, seconds: float, depth: int) -> str:
    """Return how many rows were scored, and how fast."""
    without = tally.skipped + tally.undefined
    notes = [f"{resumed} of them by an earlier command"] * (resumed > 0)
    notes += [f"{without} without an answer"] * (without > 0)
    if tally.answered:
        notes.append(f"mean exit layer {tally.mean_exit_layer:.2f} of {depth}")
    notes.append(f"{(tally.rows - resumed) / max(seconds, 1e-9):,.0f} rows/s")
    return f"{output} written: {tally.rows} rows, {', '.join(notes)}"
