"""`python -m acl_lightning.studies.embeddings RUN [RUN ...] --out DIR`: representations of runs side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from acl_lightning.cli.arguments import add_names, exit_code, study_parser
from acl_lightning.errors import UserError
from acl_lightning.figures import EmbeddingMap, embedding_map_figure
from acl_lightning.files import replaced_atomically, write_text_atomically
from acl_lightning.studies.collect import DPI, plain_console
from acl_lightning.studies.grouping import group_runs
from acl_lightning.studies.provenance import provenance
from acl_lightning.studies.representation_record import Representation, read_representation
from acl_lightning.studies.representation_tables import Compared, exit_rows, markdown, summary_rows, table
from acl_lightning.studies.run_record import Run, UnfinishedRun, read_run
from acl_lightning.studies.tables import csv_text

MODULE = "acl_lightning.studies.embeddings"

#: Samples drawn in each panel, the same ones for all runs that kept the same.
MAP_ROWS = 500


def embeddings(
    directories: Sequence[Path],
    out: Path,
    names: Sequence[str] | None,
    layer: int | None,
    command: Sequence[str],
    console: Console,
) -> None:
    """Read the runs, write everything into `out` (files of an earlier study are replaced), print the summary.

    Writes `representation.csv` (a row per run and exit), `representation_summary.csv` and `representation.md` (per
    group of runs that differ in the seed alone), `embeddings.png` (the first run of each group) and `provenance.json`.

    Args:
        directories: directories of finished runs of one task.
        out: where to write.
        names: of the groups, in the order in which they appear; None: the settings in which they differ.
        layer: exit to draw; None: the deepest that all runs kept.
        command: for the provenance.
        console: where to print.

    Raises:
        UserError: a run that is absent, given twice, unfinished, of another task or without its representation; not
            one name per group; a layer that not all runs kept.
    """
    found = {directory: _finished(directory, directories) for directory in directories}
    tasks = sorted({run.task for run in found.values()})
    if len(tasks) > 1:
        raise UserError("runs of one task", ", ".join(tasks), "Compare the tasks one by one.")
    groups = _compared({id(run): read_representation(directory, run) for directory, run in found.items()}, names)
    figure = _figure(groups, layer)
    write_text_atomically(out / "representation.csv", csv_text(exit_rows(groups)))
    write_text_atomically(out / "representation_summary.csv", csv_text(summary_rows(groups)))
    write_text_atomically(out / "representation.md", markdown(groups))
    with replaced_atomically(out / "embeddings.png") as path:
        figure.savefig(path, dpi=DPI)
    origin = json.dumps(provenance(command, list(found.values()), []), indent=2, ensure_ascii=False)
    write_text_atomically(out / "provenance.json", origin + "\n")
    console.print(table(groups), f"Files: {out}", sep="\n", highlight=False)


def _finished(directory: Path, among: Sequence[Path]) -> Run:
    if [one.resolve() for one in among].count(directory.resolve()) > 1:
        raise UserError("every run once", f"{directory} more than once", "Twice the same run is no second seed.")
    run = read_run(directory)
    if isinstance(run, UnfinishedRun):
        raise UserError("finished runs", f"{run.name} ({run.status}: {run.reason})", "Leave it out, or see its log.")
    return run


def _compared(read: Mapping[int, Representation], names: Sequence[str] | None) -> list[Compared]:
    """Group the representations, keyed by the identity of their run."""
    groups = group_runs([one.run for one in read.values()])
    sizes = {group.train_rows for group in groups}
    default = [f"{group.train_rows} rows, {group.label}" if len(sizes) > 1 else group.label for group in groups]
    chosen = default if names is None else list(names)
    if len(chosen) != len(groups) or len(set(chosen)) < len(chosen):
        raise UserError(
            f"{len(groups)} different names, one per group", ", ".join(chosen), f"The groups are: {'; '.join(default)}."
        )
    return [
        Compared(name, tuple(read[id(run)] for run in group.runs)) for name, group in zip(chosen, groups, strict=True)
    ]


def _figure(groups: Sequence[Compared], layer: int | None) -> Figure:
    shown = [group.members[0] for group in groups]
    common = sorted(set.intersection(*(set(one.layers) for one in shown)))
    chosen = common[-1] if layer is None and common else layer
    if chosen not in common:
        kept = "; ".join(f"{one.run.name}: {', '.join(map(str, one.layers))}" for one in shown)
        asked = "an exit" if layer is None else f"exit {layer}"
        raise UserError(f"{asked} whose embeddings all runs kept", kept, "Choose --layer, or keep it: `layers`.")
    first = shown[0]
    return embedding_map_figure(
        [_column(group, chosen) for group in groups],
        first.label_names,
        title=f"{first.run.task}, exit {chosen}, "
        f"{min(MAP_ROWS, first.samples)} of {first.samples} validation samples, one seed of each",
    )


def _column(group: Compared, layer: int) -> EmbeddingMap:
    shown = group.members[0]
    position = shown.layers.index(layer)
    labels_n = shown.arrays["labels_n"]
    drawn = np.sort(np.random.default_rng(0).permutation(len(labels_n))[:MAP_ROWS])
    return EmbeddingMap(
        title=f"{group.name}, seed {shown.run.seed}",
        vectors_nD=shown.arrays["vectors_KnD"][position, drawn].astype(np.float64),
        labels_n=labels_n[drawn],
        label_vectors_CD=shown.arrays["label_vectors_KCD"][position].astype(np.float64),
        measures={name: np.nan if value is None else value for name, value in shown.measures[layer].items()},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, or 2 after one line about a user's mistake.

    Args:
        arguments: as in `sys.argv[1:]`, which is the default.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    parser = study_parser(MODULE, "Representations of several runs side by side.")
    add_names(parser)
    parser.add_argument("--layer", type=int, help="exit to draw (default: the deepest that all runs kept)")
    options = parser.parse_args(typed)
    command = ["python", "-m", MODULE, *typed]
    names = options.names.split(",") if options.names else None
    return exit_code(lambda: embeddings(options.runs, options.out, names, options.layer, command, plain_console()))


if __name__ == "__main__":
    sys.exit(main())
