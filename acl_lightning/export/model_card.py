"""The README of an export: what the model is, how good, how fast, how to load it, and what not to expect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from acl_lightning.exits import Calibrated, Criterion, from_config
from acl_lightning.export.config import MultiExitConfig

_HEADER = """\
---
library_name: transformers
pipeline_tag: text-classification
tags: [acl_lightning, early-exit, multi-exit]
---

# {name}

A multi-exit {family} encoder, fine-tuned on **{task}** by acl_lightning {version}. It has {layers} layers and exits
after layers {exits}; a sample leaves as soon as an exit is sure enough.

- Input: {texts}
- Output: {labels}
- Probabilities: {probabilities}
- Texts are truncated to {max_length} tokens, as in training.
"""

_LOADING = """\
## Load it

```python
import acl_lightning  # makes the model class known to transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(DIR{argument})
tokenizer = AutoTokenizer.from_pretrained(DIR)
output = model(**tokenizer({example}, return_tensors="pt"))
output.logits, output.exit_layer  # the answer, and the layer that gave it
```

`transformers.pipeline("text-classification", model=DIR)` works as well. Without an operating point all layers are
computed; `model(..., operating_point=NAME)` chooses one for a call.
"""

_LIMITS = """\
## Limits

- Measured on {samples} of {task}; the operating points were chosen on {selection} others. On other data their losses
  and speed-ups differ, and thresholds should be chosen again.
- Speed-ups are ratios of layers and of FLOPs at {tokens} tokens, not times.
- Inference only: `forward` keeps no gradient. No code beyond acl_lightning's own is run by loading it.
- The licences of the backbone and of the data apply.
"""


def model_card(name: str, config: MultiExitConfig, result: Mapping[str, Any]) -> str:
    """The card as Markdown, from what `result.json` measured on the report half; what it lacks is left out."""
    task = config.task_name or "unnamed data"
    regression = config.problem_type == "regression"
    header = _HEADER.format(
        name=name,
        family=config.backbone_config.model_type,
        task=task,
        version=(result.get("versions") or {}).get("acl_lightning", "(version unknown)"),
        layers=config.backbone_config.num_hidden_layers,
        exits=", ".join(map(str, config.exit_layers)),
        texts=" and ".join(f"`{column}`" for column in config.text_columns),
        probabilities=_probabilities(config),
        max_length=config.max_length or "an unknown number of",
        labels="one value" if regression else ", ".join(f"`{label}`" for label in config.id2label.values()),
    )
    points = config.operating_points or {}
    samples = result.get("samples") or {}
    limits = _LIMITS.format(
        task=task,
        samples=f"{samples.get('report', 'an unknown number of')} validation samples",
        selection=samples.get("selection", "an unknown number of"),
        tokens=f"{result.get('mean_num_tokens') or 0:.0f}",
    )
    loading = _LOADING.format(
        argument=f", operating_point={json.dumps(next(reversed(points)))}" if points else "",
        example=", ".join(json.dumps(f"A {column}.") for column in config.text_columns),
    )
    sections = [header, _exits(result), _points(points, result.get("metric")), loading, limits, _origin(result)]
    return "\n".join(section for section in sections if section)


def _probabilities(config: MultiExitConfig) -> str:
    if config.problem_type == "regression":
        return "none"
    if config.temperatures is None:
        return "the softmax of `logits`, not calibrated"
    return "the softmax of `logits`, which are divided by a temperature per exit (fitted on the selection half)"


def _exits(result: Mapping[str, Any]) -> str:
    per_exit, names = result.get("per_exit"), result.get("metric_names")
    if not per_exit or not names:
        return ""
    rows = [[str(row["layer"]), *(_percent(row.get(name)) for name in names)] for row in per_exit]
    return "## Quality per exit\n\nIn percent, were everybody to leave there.\n\n" + _table(["layer", *names], rows)


def _points(points: Mapping[str, Any], metric: str | None) -> str:
    if not points:
        return ""
    header = ["name", "criterion", "threshold", metric or "quality", "loss, points", "layer speed-up", "FLOPs speed-up"]
    rows = []
    for name, point in points.items():
        measured = point["measured"]
        rows.append(
            [
                f"`{name}`",
                _criterion(from_config(point["criterion"])),
                f"{point['threshold']:g}",
                _percent(measured.get("quality")),
                _number(measured.get("loss_points"), ".1f"),
                *_speeds(measured),
            ]
        )
    return "## Operating points\n\nAgainst full depth; chosen on other samples than these figures.\n\n" + _table(
        header, rows
    )


def _criterion(criterion: Criterion) -> str:
    """Return class and settings: `PCEE, bound 0.2`; for a calibrated criterion, those of the one inside."""
    name = type(criterion).__name__
    if isinstance(criterion, Calibrated):
        return f"{name} {_criterion(criterion.criterion)}"
    return ", ".join([name, *(f"{key} {value:g}" for key, value in criterion.settings.items())])


def _speeds(measured: Mapping[str, Any]) -> list[str]:
    if measured.get("layer_saving") == 0:
        return ["none leaves early", ""]
    return [_number(measured.get(name), ".2f") + "x" for name in ("layer_speedup", "flops_speedup")]


def _origin(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in (result.get("versions") or {}).items())
    found = {"Configuration": result.get("config_hash"), "Seed": result.get("seed"), "Versions": versions or None}
    lines = [f"- {name}: {value}" for name, value in found.items() if value is not None]
    return "## Where it comes from\n\n" + "\n".join(lines) + "\n" if lines else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _percent(value: float | None) -> str:
    return _number(None if value is None else 100 * value, ".1f")


def _number(value: float | None, form: str) -> str:
    return "undefined" if value is None else format(value, form)
