"""The Gradio page around `answer`."""

from __future__ import annotations

import html
import importlib
import math
import os
from typing import Any

from acl_lightning.demo.answer import Answer, answer, criteria_for, first_point
from acl_lightning.demo.served import ServedModel
from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, Static

#: Gradio asks these when it is imported: no usage statistics, no look for a newer version, nothing from a hub.
OFFLINE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


#: Choice of operating point under which criterion and threshold are set by hand.
BY_HAND = "set by hand"
FULL_DEPTH = "full depth"


def build_page(served: ServedModel) -> Any:
    """Return a `gradio.Blocks` with text fields, an operating point, and the answer of every exit.

    It opens at the operating point that the run recommends. Criterion and threshold can be set by hand instead.

    Raises:
        UserError: Gradio is not installed.
    """
    gradio = _gradio()
    criteria = criteria_for(served)
    points = {**served.points, FULL_DEPTH: (Static(), float(served.encoder.num_exits))}
    opening = first_point(served) or FULL_DEPTH
    first = next(iter(criteria.values()))

    def respond(point: str, name: str, threshold: float, *texts: str) -> tuple[str, str]:
        try:
            rule = points.get(point) or (criteria[name], _fitting(criteria[name], threshold, served))
            found = answer(served, texts, *rule)
        except UserError as error:
            return f"<p>{html.escape(str(error))}</p>", ""
        return verdict(found, served.encoder.depth), table(found)

    def show_controls(point: str) -> Any:
        return gradio.Row(visible=point == BY_HAND)

    def choose(name: str) -> Any:
        low, high, step = slider_range(criteria[name], served.encoder.num_exits)
        return gradio.Slider(low, high, value=_middle(low, high, step), step=step)

    with gradio.Blocks(title=f"acl_lightning: {served.task_name}", analytics_enabled=False) as page:
        gradio.Markdown(f"# Where does it leave? ({served.task_name})")
        fields = [
            gradio.Textbox(label=column, lines=2, elem_id=f"text-{number}")
            for number, column in enumerate(served.text_columns)
        ]
        choices = [(_point_label(name, *rule), name) for name, rule in points.items()]
        point = gradio.Dropdown(
            [*choices, (BY_HAND, BY_HAND)], value=opening, label="operating point", elem_id="operating-point"
        )
        with gradio.Row(visible=False) as controls:
            names = gradio.Dropdown(list(criteria), value=next(iter(criteria)), label="criterion", elem_id="criterion")
            low, high, step = slider_range(first, served.encoder.num_exits)
            threshold = gradio.Slider(
                low, high, value=_middle(low, high, step), step=step, label="threshold", elem_id="threshold"
            )
        button = gradio.Button("Classify", variant="primary", elem_id="classify")
        outputs = [gradio.HTML(elem_id="verdict"), gradio.HTML(elem_id="exits")]
        inputs = [point, names, threshold, *fields]
        gradio.on([button.click, *(field.submit for field in fields)], respond, inputs, outputs, api_name="classify")
        gradio.on([threshold.release, point.input], respond, inputs, outputs, api_visibility="private")
        point.change(show_controls, point, controls, api_visibility="private")
        names.change(choose, names, threshold, api_visibility="private")
    return page


def open_page(page: Any, port: int | None = None) -> str:
    """Serve a page to this machine alone, in threads of their own, and return its address.

    Args:
        page: what `build_page` returned.
        port: None: the first free one from 7860.

    Raises:
        UserError: the port is taken.
    """
    gradio = _gradio()
    # The default theme would have the browser ask Google for its fonts.
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    try:
        _, address, _ = page.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            run_history=False,
            theme=theme,
        )
    except (OSError, OverflowError) as error:  # taken, or no port's number
        raise UserError(f"a free port for the page, {port or 'from 7860'}", "none", "Choose another --port.") from error
    return str(address)


#: Classes whose probabilities a row shows at most, the most probable first.
SHOWN_CLASSES = 3

HEADERS = ("layer", "answer and probabilities", "certainty")

#: Only answers may be broken within a word, so that long class names fit a narrow screen.
STYLE = """<style>
#exits table {width: 100%; border-collapse: collapse; font-size: 0.85rem}
#exits th, #exits td {padding: 0.3rem 0.35rem; text-align: left; vertical-align: top}
#exits td:nth-child(2) {overflow-wrap: anywhere}
#exits tr.leaves td {font-weight: bold; background: rgba(120, 160, 255, 0.18)}
</style>"""


def verdict(found: Answer, depth: int) -> str:
    """Return one paragraph of HTML: answer, exit layer, times, and what to know about the probabilities."""
    leaving = next(one for one in found.exits if one.leaves)
    tokens = f"{found.num_tokens} tokens" + (", truncated" if found.truncated else "")
    kind = "Calibrated probabilities" if found.calibrated else "Raw probabilities (not calibrated)"
    return (
        f"<p>Leaves after layer <b>{found.exit_layer}</b> of {depth} as <b>{html.escape(leaving.label)}</b>: "
        f"{found.milliseconds:.1f} ms, full depth {found.full_milliseconds:.1f} ms ({tokens})."
        + (f" {kind}." if leaving.probabilities else "")
        + "</p>"
    )


def rows(found: Answer) -> list[list[str]]:
    """Return the table under `HEADERS`, one row per exit."""
    return [
        [
            f"{one.layer}{' (leaves here)' if one.leaves else ''}",
            ", ".join(
                f"{name} {value:.3f}"
                for name, value in sorted(one.probabilities.items(), key=lambda pair: -pair[1])[:SHOWN_CLASSES]
            )
            or one.label,
            f"{one.certainty:.3f}" if math.isfinite(one.certainty) else "cannot leave",
        ]
        for one in found.exits
    ]


def table(found: Answer) -> str:
    """Return the same rows as an HTML table that fits a narrow screen."""
    header = "".join(f"<th>{name}</th>" for name in HEADERS)
    lines = [
        f"<tr{' class=leaves' if one.leaves else ''}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
        for one, row in zip(found.exits, rows(found), strict=True)
    ]
    return f"{STYLE}<table><thead><tr>{header}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _point_label(name: str, criterion: Criterion, threshold: float) -> str:
    return name if name == FULL_DEPTH else f"{name} ({criterion.name} {threshold:g})"


def slider_range(criterion: Criterion, num_exits: int) -> tuple[float, float, float]:
    """Lowest and highest threshold that a sweep tries, and the step: 1 where thresholds are whole numbers."""
    grid = criterion.thresholds(num_exits)
    whole = all(float(value).is_integer() for value in grid)
    return (grid[0], grid[-1], 1.0) if whole else (math.floor(100 * grid[0]) / 100, min(grid[-1], 1.0), 0.01)


def _fitting(criterion: Criterion, threshold: float, served: ServedModel) -> float:
    """The threshold, moved into the range of a criterion that was chosen before the slider followed."""
    low, high, step = slider_range(criterion, served.encoder.num_exits)
    return min(max(round(threshold) if step == 1.0 else threshold, low), high)


def _middle(low: float, high: float, step: float) -> float:
    return low + step * round((high - low) / 2 / step)


def _gradio() -> Any:
    os.environ.update(OFFLINE)
    try:
        return importlib.import_module("gradio")
    except ImportError as error:
        raise UserError("gradio", "none installed", "Install it: pip install 'acl-lightning[demo]'") from error
