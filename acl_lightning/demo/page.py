"""The Gradio page around `answer`."""

from __future__ import annotations

import html
import importlib
import math
import os
from typing import Any

from acl_lightning.demo.answer import Answer, answer, criteria_for
from acl_lightning.demo.served import ServedModel
from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion

#: Gradio asks these when it is imported: no usage statistics, no look for a newer version, nothing from a hub.
OFFLINE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def build_page(served: ServedModel) -> Any:
    """A `gradio.Blocks` with text fields, criterion, threshold, and the answer of every exit.

    Raises:
        UserError: Gradio is not installed.
    """
    gradio = _gradio()
    criteria = criteria_for(served)
    first = next(iter(criteria.values()))

    def respond(name: str, threshold: float, *texts: str) -> tuple[str, list[list[str]]]:
        try:
            found = answer(served, texts, criteria[name], _fitting(criteria[name], threshold, served))
        except UserError as error:
            return f"<p>{html.escape(str(error))}</p>", []
        return verdict(found, served.encoder.depth), rows(found)

    def choose(name: str) -> Any:
        low, high, step = slider_range(criteria[name], served.encoder.num_exits)
        return gradio.Slider(low, high, value=_middle(low, high, step), step=step)

    with gradio.Blocks(title=f"acl_lightning: {served.task_name}", analytics_enabled=False) as page:
        gradio.Markdown(f"# Where does it leave? ({served.task_name})")
        fields = [
            gradio.Textbox(label=column, lines=2, elem_id=f"text-{number}")
            for number, column in enumerate(served.text_columns)
        ]
        with gradio.Row():
            names = gradio.Dropdown(list(criteria), value=first.name, label="criterion", elem_id="criterion")
            low, high, step = slider_range(first, served.encoder.num_exits)
            threshold = gradio.Slider(
                low, high, value=_middle(low, high, step), step=step, label="threshold", elem_id="threshold"
            )
        button = gradio.Button("Classify", variant="primary", elem_id="classify")
        outputs = [
            gradio.HTML(elem_id="verdict"),
            gradio.Dataframe(headers=HEADERS, interactive=False, elem_id="exits", label="What every exit says"),
        ]
        inputs = [names, threshold, *fields]
        gradio.on([button.click, *(field.submit for field in fields)], respond, inputs, outputs, api_name="classify")
        threshold.release(respond, inputs, outputs, api_visibility="private")
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


HEADERS = ["layer", "answer", "probabilities", "certainty", ""]


def verdict(found: Answer, depth: int) -> str:
    """One paragraph of HTML: answer, exit layer, times."""
    leaving = next(one for one in found.exits if one.leaves)
    return (
        f"<p>Leaves after layer <b>{found.exit_layer}</b> of {depth} as <b>{html.escape(leaving.label)}</b>: "
        f"{found.milliseconds:.1f} ms, full depth {found.full_milliseconds:.1f} ms ({found.num_tokens} tokens).</p>"
    )


def rows(found: Answer) -> list[list[str]]:
    """The table under `HEADERS`, one row per exit."""
    return [
        [
            str(one.layer),
            one.label,
            ", ".join(f"{name} {value:.3f}" for name, value in one.probabilities.items()),
            f"{one.certainty:.3f}" if math.isfinite(one.certainty) else "cannot leave",
            "leaves here" if one.leaves else "",
        ]
        for one in found.exits
    ]


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
