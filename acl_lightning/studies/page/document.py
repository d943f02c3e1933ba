"""Page of a study: question, tables, figures, provenance and commands in one HTML file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from acl_lightning.studies.comparison import TrialComparison
from acl_lightning.studies.page.readme import data_uri, read_readme
from acl_lightning.studies.page.sections import sections
from acl_lightning.studies.tables import Table

#: Resolution of the figures: sharp on paper.
DPI = 150

#: Number of colours of the figures: a third of the bytes, without a visible difference for lines, bands and markers.
COLORS = 256


@dataclass(frozen=True)
class _Part:
    """Heading, tables with a caption below each, images with a description, and notes."""

    heading: str
    tables: Sequence[tuple[Table, str]] = ()
    images: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()


def page_html(comparison: TrialComparison, folder: Path, commands: Mapping[str, Sequence[str]]) -> str:
    """Return the report of a study as an HTML page that needs no other file and no script.

    Args:
        comparison: Tables of the study.
        folder: Folder of the study, whose `README.md` states the question.
        commands: Purpose -> command line.
    """
    title, question, rest = read_readme(folder)
    parts = [_Part(table.title, comparison.texts(table)) for table in comparison.tables]
    for section in sections(comparison.specification, comparison.values):
        images = [(_image(figure), text) for text, figure in section.figures.items()]
        parts.append(_Part(section.heading, [(table, table.title) for table in section.tables], images, section.notes))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=title or comparison.name,
        name=comparison.name,
        question=Markup(question),
        rest=Markup(rest),
        parts=[(f"part-{number}", part) for number, part in enumerate(parts, 1)],
        protocol=comparison.protocol(),
        settings=comparison.settings(),
        notes=comparison.notes(),
        provenance=_provenance(comparison),
        trials=_trials(comparison),
        commands={purpose: " ".join(command) for purpose, command in commands.items()},
        is_number=lambda table, column: table.headings[column] not in table.left,
    )


def _image(figure: Figure) -> str:
    drawn, content = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=DPI, format="png")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return data_uri(content.getvalue())


def _provenance(comparison: TrialComparison) -> dict[str, str]:
    """Return the entries of the provenance that are not empty, as text."""
    origin = comparison.provenance([])
    texts: dict[str, str] = {}
    for name in ("collected", "commit", "trial_states", "versions", "runs"):
        entry = origin[name]
        if name == "commit" and isinstance(entry, Mapping):
            entry = f"{entry.get('commit')}{', with uncommitted changes' if entry.get('dirty') else ''}"
        if isinstance(entry, Mapping):
            texts[name.replace("_", " ")] = "; ".join(
                f"{key.replace('_', ' ')}: {_plain(value)}" for key, value in entry.items() if value not in (None, {})
            )
        elif entry is not None:
            texts[name.replace("_", " ")] = str(entry)
    return {name: text for name, text in texts.items() if text}


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} ({count})" for key, count in value.items())
    return str(value)


def _trials(comparison: TrialComparison) -> list[tuple[str, str, str, str, str]]:
    """Return identity, state, method, column and setting with seed of every trial in the tables."""
    return [
        (
            trial.trial.id,
            trial.state,
            cell.row.label,
            cell.column.heading,
            ", ".join(filter(None, (f"seed {trial.seed}", setting.parameters))),
        )
        for cell in comparison.values.cells
        for setting in cell.settings
        for trial in setting.trials
    ]
