"""Model card of an export: inputs and outputs, measured quality and speed, how to load it, limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from acl_lightning.exits import Calibrated, Criterion, Ensembled, SweepReport, from_config
from acl_lightning.export.config import MultiExitConfig
from acl_lightning.export.served_points import sweep_report
from acl_lightning.runs import RunResult

#: Text for a number that the result does not have.
UNKNOWN = "an unknown number of"

_HEADER = """\
---
library_name: transformers
pipeline_tag: {pipeline}
tags: [acl_lightning, early-exit, multi-exit]
---

# {name}

A multi-exit {family} encoder, fine-tuned on **{task}** with acl_lightning {version}. It has {layers} layers and a
classifier (an exit) after layers {exits}. Adaptive inference stops computing a sample at the first exit whose certainty
reaches a threshold.

- Input: {inputs}
- Output: {labels}
- Probabilities: {probabilities}
"""

_TRUNCATION = "- Texts are truncated to {max_length} tokens, as in training.\n"

_LOADING = """\
## How to load it

Install acl_lightning, and import `acl_lightning.export` before you load the model:

```python
import acl_lightning.export  # registers the model type acl_multi_exit with transformers
{usage}
output.logits, output.exit_layer  # logits, and the layer of the exit that computed them
```

Without the import transformers raises an error that contains "model type `acl_multi_exit`" and "does not recognize this
architecture"; newer versions of transformers or `trust_remote_code` do not help. After the import
`transformers.pipeline("{pipeline}", model=DIR)` works too.

The argument `operating_point=NAME` of `from_pretrained`, or of a call `model(..., operating_point=NAME)`, selects an
operating point. Without it all layers are computed.
"""

_TEXT_USAGE = """\
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(DIR{argument})
tokenizer = AutoTokenizer.from_pretrained(DIR)
output = model(**tokenizer({example}, return_tensors="pt"))"""

_IMAGE_USAGE = """\
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

model = AutoModelForImageClassification.from_pretrained(DIR{argument})
processor = AutoImageProcessor.from_pretrained(DIR)
output = model(**processor(Image.open(FILE).convert("{mode}"), return_tensors="pt"))"""

_LIMITS = """\
## Limits

- Quality and speed-ups were measured on {samples} of {task}, the operating points selected on {selection}.
  Other data have other drops and speed-ups; select operating points again on a validation set of your data.
- Speed-ups are ratios of layers and of FLOPs at {tokens} tokens, not of wall-clock time.
- The model is for inference: `forward` computes no gradients. Loading it runs no code besides acl_lightning.
- The licences of the backbone and of the data apply.
"""


def model_card(name: str, config: MultiExitConfig, result: RunResult) -> str:
    """Return the model card as Markdown.

    Args:
        name: Title of the card.
        config: Configuration of the exported model.
        result: Result of the run. Without an exit sweep the sections about exits and operating points are left out.

    Raises:
        UserError: The result is damaged.
    """
    report = sweep_report(result)
    task = config.task_name or "unnamed data"
    regression = config.problem_type == "regression"
    header = _HEADER.format(
        name=name,
        family=config.backbone_config.model_type,
        task=task,
        version=result.provenance.versions.get("acl_lightning", "(unknown version)"),
        layers=config.backbone_config.num_hidden_layers,
        exits=", ".join(map(str, config.exit_layers)),
        inputs=_inputs(config),
        pipeline=_pipeline(config),
        probabilities=_probabilities(config),
        labels="one value" if regression else ", ".join(f"`{label}`" for label in config.id2label.values()),
    )
    if not config.reads_images:
        header += _TRUNCATION.format(max_length=config.max_length or UNKNOWN)
    points = config.operating_points or {}
    limits = _LIMITS.format(
        task=task,
        samples=f"{UNKNOWN if report is None else report.samples.report} validation samples",
        selection=_selection(report),
        tokens=UNKNOWN if report is None else f"{report.mean_num_tokens:.0f}",
    )
    loading = _LOADING.format(usage=_usage(config, points), pipeline=_pipeline(config))
    exits = "" if report is None else _exits(report)
    operating_points = _points(points, "quality" if report is None else report.metric) if points else ""
    sections = [header, exits, operating_points, loading, limits, _origin(result)]
    return "\n".join(section for section in sections if section)


def _pipeline(config: MultiExitConfig) -> str:
    return "image-classification" if config.reads_images else "text-classification"


def _inputs(config: MultiExitConfig) -> str:
    """Return what an input consists of."""
    if not config.reads_images:
        return " and ".join(f"`{column}`" for column in config.text_columns)
    size, channels = config.backbone_config.image_size, config.backbone_config.num_channels
    return f"{'a grey' if channels == 1 else 'an RGB'} image, resized to {size} x {size} pixels"


def _usage(config: MultiExitConfig, points: Mapping[str, Any]) -> str:
    """Return the lines of Python that load the model and classify an example."""
    argument = f", operating_point={json.dumps(list(points)[-1])}" if points else ""
    if config.reads_images:
        return _IMAGE_USAGE.format(argument=argument, mode="L" if config.backbone_config.num_channels == 1 else "RGB")
    example = ", ".join(json.dumps(f"A {column}.") for column in config.text_columns)
    return _TEXT_USAGE.format(argument=argument, example=example)


def _selection(report: SweepReport | None) -> str:
    """Return number and origin of the samples that selected the operating points."""
    if report is None:
        return f"{UNKNOWN} others"
    sizes = report.samples
    return (
        f"{sizes.selection} {'training rows that were not trained on' if sizes.selection_from == 'train' else 'others'}"
    )


def _probabilities(config: MultiExitConfig) -> str:
    if config.problem_type == "regression":
        return "none"
    if config.temperatures is None:
        return "the softmax of `logits`, not calibrated"
    return "the softmax of `logits`, which are divided by a temperature per exit (fitted on the selection split)"


def _exits(report: SweepReport) -> str:
    """Return the section on the quality of each exit."""
    names = report.metric_names
    rows = [[str(exit_.layer), *(_percent(exit_.metrics[name]) for name in names)] for exit_ in report.per_exit]
    table = _table(["layer", *names], rows)
    return f"## Quality of each exit\n\nIn percent, if all samples leave at that exit.\n\n{table}"


def _points(points: Mapping[str, Any], metric: str) -> str:
    """Return the section on the operating points."""
    header = ["name", "criterion", "threshold", metric, "drop, points", "layer speed-up", "FLOPs speed-up"]
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
    note = "Drop and speed-ups are relative to full depth. They were measured on the report split, and the points were"
    table = _table(header, rows)
    return f"## Operating points\n\n{note}\nselected on the selection split.\n\n{table}"


def _criterion(criterion: Criterion) -> str:
    """Return class and settings, such as `PCEE, bound 0.2` or `Ensembled Calibrated PCEE, bound 0.2`."""
    name = type(criterion).__name__
    if isinstance(criterion, Calibrated | Ensembled):
        return f"{name} {_criterion(criterion.criterion)}"
    return ", ".join([name, *(f"{key} {value:g}" for key, value in criterion.settings.items())])


def _speeds(measured: Mapping[str, Any]) -> list[str]:
    """Return the cells of the two speed-ups; without numbers where no sample leaves early."""
    if measured.get("layer_saving") == 0:
        return ["no early exits", ""]
    return [_number(measured.get(name), ".2f") + "x" for name in ("layer_speedup", "flops_speedup")]


def _origin(result: RunResult) -> str:
    """Return the section on configuration, seed and versions; empty where the result has none of them."""
    provenance = result.provenance
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    entries = {"Configuration": provenance.config_hash, "Seed": provenance.seed, "Versions": versions or None}
    lines = [f"- {name}: {value}" for name, value in entries.items() if value is not None]
    return "## Provenance\n\n" + "\n".join(lines) + "\n" if lines else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _percent(value: float | None) -> str:
    return _number(None if value is None else 100 * value, ".1f")


def _number(value: float | None, form: str) -> str:
    return "undefined" if value is None or math.isnan(value) else format(value, form)
