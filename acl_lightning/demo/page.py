"""Gradio page that shows the answer of every exit for a text."""

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

#: Environment variables that Gradio reads on import: no usage statistics, no check for a newer version, no hub access.
OFFLINE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}

#: Entries of the operating-point menu besides the points of the run.
CUSTOM = "custom criterion and threshold"
FULL_DEPTH = "full depth"

#: Largest number of classes whose probabilities a row shows, the most probable first.
SHOWN_CLASSES = 3

#: Only the middle column may break within words, so that long class names fit a narrow screen.
STYLE = """<style>
#exits table {width: 100%; border-collapse: collapse; font-size: 0.85rem}
#exits th, #exits td {padding: 0.3rem 0.35rem; text-align: left; vertical-align: top}
#exits td:nth-child(2) {overflow-wrap: anywhere}
#exits tr.leaves td {font-weight: bold; background: rgba(120, 160, 255, 0.18)}
</style>"""

_INTRODUCTION = """\
# Early exits: {task}

Every exit of the model classifies the text. Inference stops at the first exit whose certainty reaches the threshold of
the operating point."""


def build_page(served: ServedModel) -> Any:
    """Return a `gradio.Blocks` with text fields, a menu of operating points, and the answer of every exit.

    The page starts with the operating point that the run recommends. The menu's last entry shows a criterion and a
    threshold to set.

    Args:
        served: Model to use.

    Raises:
        UserError: Gradio is not installed.
    """
    gradio = _gradio()
    criteria = criteria_for(served)
    points = {**served.points, FULL_DEPTH: (Static(), float(served.encoder.num_exits))}
    first_criterion = next(iter(criteria))

    def respond(point: str, name: str, threshold: float, *texts: str) -> tuple[str, str]:
        try:
            rule = points.get(point) or (criteria[name], _fitting(criteria[name], threshold, served))
            response = answer(served, texts, *rule)
        except UserError as error:
            return f"<p>{html.escape(str(error))}</p>", ""
        return summary_html(response, served.encoder.depth), table_html(response)

    def show_controls(point: str) -> Any:
        return gradio.Row(visible=point == CUSTOM)

    def slider(name: str, **settings: Any) -> Any:
        low, high, step = slider_range(criteria[name], served.encoder.num_exits)
        return gradio.Slider(low, high, value=_middle(low, high, step), step=step, **settings)

    with gradio.Blocks(title=f"acl_lightning: {served.task_name}", analytics_enabled=False) as page:
        gradio.Markdown(_INTRODUCTION.format(task=served.task_name))
        fields = [
            gradio.Textbox(label=column, lines=2, elem_id=f"text-{number}")
            for number, column in enumerate(served.text_columns)
        ]
        choices = [(_point_label(name, *rule), name) for name, rule in points.items()]
        point = gradio.Dropdown(
            [*choices, (CUSTOM, CUSTOM)],
            value=first_point(served) or FULL_DEPTH,
            label="operating point",
            elem_id="operating-point",
        )
        with gradio.Row(visible=False) as controls:
            names = gradio.Dropdown(list(criteria), value=first_criterion, label="criterion", elem_id="criterion")
            threshold = slider(first_criterion, label="threshold", elem_id="threshold")
        button = gradio.Button("Classify", variant="primary", elem_id="classify")
        outputs = [gradio.HTML(elem_id="summary"), gradio.HTML(elem_id="exits")]
        inputs = [point, names, threshold, *fields]
        gradio.on([button.click, *(field.submit for field in fields)], respond, inputs, outputs, api_name="classify")
        gradio.on([threshold.release, point.input], respond, inputs, outputs, api_visibility="private")
        point.change(show_controls, point, controls, api_visibility="private")
        names.change(slider, names, threshold, api_visibility="private")
    return page


def open_page(page: Any, port: int | None = None) -> str:
    """Serve a page to this machine only, in background threads, and return its address.

    Args:
        page: Return value of `build_page`.
        port: Port number. None: the first free port from 7860.

    Raises:
        UserError: The port is taken.
    """
    gradio = _gradio()
    # The default theme would make the browser load fonts from Google.
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
    except (OSError, OverflowError) as error:  # the port is taken, or no valid number
        raise UserError(f"a free port for the page, {port or 'from 7860'}", "none", "Choose another --port.") from error
    return str(address)


def summary_html(response: Answer, depth: int) -> str:
    """Return a paragraph of HTML with answer, exit layer, times, and whether probabilities are calibrated.

    Args:
        response: Answer of all exits.
        depth: Number of layers of the model.
    """
    leaving = next(exit_ for exit_ in response.exits if exit_.leaves)
    tokens = f"{response.num_tokens} tokens" + (", truncated" if response.truncated else "")
    calibration = "calibrated" if response.calibrated else "not calibrated"
    return (
        f"<p>Answer: <b>{html.escape(leaving.label)}</b>, from the exit after layer <b>{response.exit_layer}</b> of "
        f"{depth}. Time: {response.milliseconds:.1f} ms; full depth: {response.full_milliseconds:.1f} ms ({tokens})."
        + (f" Probabilities are {calibration}." if leaving.probabilities else "")
        + "</p>"
    )


def table_rows(response: Answer) -> list[list[str]]:
    """Return the cells of the table of exits: layer, probabilities (for a regression the value), and certainty."""
    return [
        [
            f"{exit_.layer}{' (leaves here)' if exit_.leaves else ''}",
            ", ".join(
                f"{name} {value:.3f}"
                for name, value in sorted(exit_.probabilities.items(), key=lambda pair: -pair[1])[:SHOWN_CLASSES]
            )
            or exit_.label,
            f"{exit_.certainty:.3f}" if math.isfinite(exit_.certainty) else "cannot leave",
        ]
        for exit_ in response.exits
    ]


def table_html(response: Answer) -> str:
    """Return the table of exits as HTML that fits a narrow screen."""
    middle = "probabilities" if response.exits[0].probabilities else "value"
    header = "".join(f"<th>{name}</th>" for name in ("layer", middle, "certainty"))
    lines = [
        f"<tr{' class=leaves' if exit_.leaves else ''}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
        for exit_, row in zip(response.exits, table_rows(response), strict=True)
    ]
    return f"{STYLE}<table><thead><tr>{header}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _point_label(name: str, criterion: Criterion, threshold: float) -> str:
    return name if name == FULL_DEPTH else f"{name} ({criterion.name} {threshold:g})"


def slider_range(criterion: Criterion, num_exits: int) -> tuple[float, float, float]:
    """Return lowest and highest threshold of a sweep, and the step: 1 where all thresholds are whole numbers."""
    grid = criterion.thresholds(num_exits)
    whole = all(float(value).is_integer() for value in grid)
    return (grid[0], grid[-1], 1.0) if whole else (math.floor(100 * grid[0]) / 100, min(grid[-1], 1.0), 0.01)


def _fitting(criterion: Criterion, threshold: float, served: ServedModel) -> float:
    """Clip a threshold to the criterion's range, for a criterion that was selected before the slider followed."""
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
