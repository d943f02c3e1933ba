"""Answers of all exits for one input, with the exit at which it leaves and the time that this takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from acl_lightning.demo.served import ServedModel
from acl_lightning.encoders import model_inputs
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Calibrated,
    Criterion,
    Static,
    default_criteria,
    exit_probabilities,
    readable_criteria,
    temperatures_of,
)
from acl_lightning.exits.inference import AdaptiveRuntime

#: Number of alternating measurements of the two times; the medians are shown.
REPETITIONS = 7


@dataclass(frozen=True)
class ExitAnswer:
    """Answer of one exit for the input.

    Attributes:
        layer: Layer of the exit, counted from 1.
        label: Name of the most probable class; for a regression the value as text.
        probabilities: Class name -> probability; empty for a regression.
        certainty: Certainty of the criterion. The input leaves at the first exit where it reaches the threshold.
        leaves: Whether the input leaves here.
    """

    layer: int
    label: str
    probabilities: dict[str, float]
    certainty: float
    leaves: bool


@dataclass(frozen=True)
class Answer:
    """Answers of all exits, the exit at which the input leaves, and times.

    Attributes:
        exits: Answer of each exit.
        exit_layer: Layer, counted from 1, of the exit at which the input leaves.
        num_tokens: Number of tokens of the input, special tokens included.
        truncated: Whether the input was truncated.
        calibrated: Whether the probabilities use fitted temperatures; else they are the softmax of the logits.
        milliseconds: Median wall-clock time of adaptive inference for this input, without the tokenizer.
        full_milliseconds: The same time at full depth.
    """

    exits: tuple[ExitAnswer, ...]
    exit_layer: int
    num_tokens: int
    truncated: bool
    calibrated: bool
    milliseconds: float
    full_milliseconds: float


def criteria_for(served: ServedModel) -> dict[str, Criterion]:
    """Return the criteria that support a model, by name, with their default settings.

    For a calibrated run they read calibrated probabilities, as its operating points do.
    """
    readable = readable_criteria(
        default_criteria(),
        is_regression=not served.label_names,
        has_gate=served.encoder.gate is not None,
        has_cosines=True,
    )
    criteria = {criterion.name: criterion for criterion in readable}
    if served.temperatures_E is None:
        return criteria
    return {
        name: criterion if name == Static.name else Calibrated(criterion, served.temperatures_E)
        for name, criterion in criteria.items()
    }


def first_point(served: ServedModel) -> str | None:
    """Return the operating point that the page shows first: the recommended one, else the first, else None."""
    if served.recommended_point in served.points:
        return served.recommended_point
    return next(iter(served.points), None)


def answer(served: ServedModel, texts: Sequence[str], criterion: Criterion, threshold: float) -> Answer:
    """Classify one input at every exit, and time adaptive inference and full depth.

    Args:
        served: Model to use.
        texts: One text, or two for a task of pairs.
        criterion: Exit criterion.
        threshold: The input leaves at the first exit whose certainty is at least this value.

    Raises:
        UserError: There are more or fewer texts than the task has, a text is blank, or the threshold is out of range.
    """
    if len(texts) != len(served.text_columns) or not all(text.strip() for text in texts):
        raise UserError(
            f"a text for {' and '.join(served.text_columns)}", f"{list(texts)}", "Fill in every text field."
        )
    encoder = served.encoder
    tokens = served.tokenizer(*texts, truncation=True, max_length=served.max_tokens, return_tensors="pt")
    untruncated = served.tokenizer(*texts, verbose=False)
    batch = model_inputs(tokens)
    adaptive = AdaptiveRuntime(encoder, criterion, threshold)
    full = AdaptiveRuntime(encoder, Static(), float(encoder.num_exits))
    decisions = adaptive(**batch)
    milliseconds = [(_milliseconds(adaptive, batch), _milliseconds(full, batch)) for _ in range(REPETITIONS)]
    with torch.no_grad():
        outputs = encoder(**batch)
    cosines_EBC = outputs.cosines_EBC() if criterion.reads_cosines else None
    inputs = criterion.inputs(outputs.logits_EBC, outputs.gates_EB, cosines_EBC)
    certainty_E = criterion.certainty(inputs)[:, 0].tolist()
    exit_ = int(decisions.exit_B)
    logits_EC = criterion.answers(outputs.logits_EBC)[:, 0]
    temperatures_E = temperatures_of(criterion, served.temperatures_E)
    probabilities_EC = exit_probabilities(logits_EC, torch.arange(encoder.num_exits), temperatures_E)
    exits = tuple(
        _exit_answer(served, layer, logits_C, probabilities_C, certainty, leaves=number == exit_)
        for number, (layer, logits_C, probabilities_C, certainty) in enumerate(
            zip(encoder.exit_layers, logits_EC, probabilities_EC, certainty_E, strict=True)
        )
    )
    adaptive_median, full_median = (statistics.median(times) for times in zip(*milliseconds, strict=True))
    return Answer(
        exits=exits,
        exit_layer=int(decisions.exit_layer_B),
        num_tokens=int(batch["input_ids"].shape[1]),
        truncated=len(untruncated["input_ids"]) > batch["input_ids"].shape[1],
        calibrated=temperatures_E is not None,
        milliseconds=adaptive_median,
        full_milliseconds=full_median,
    )


def _milliseconds(runtime: AdaptiveRuntime, batch: dict[str, torch.Tensor]) -> float:
    started = time.perf_counter()
    runtime(**batch)
    return 1000 * (time.perf_counter() - started)


def _exit_answer(
    served: ServedModel,
    layer: int,
    logits_C: torch.Tensor,
    probabilities_C: torch.Tensor,
    certainty: float,
    *,
    leaves: bool,
) -> ExitAnswer:
    if not served.label_names:
        return ExitAnswer(layer, f"{logits_C.item():.2f}", {}, certainty, leaves)
    probabilities = dict(zip(served.label_names, probabilities_C.tolist(), strict=True))
    return ExitAnswer(layer, max(probabilities, key=probabilities.__getitem__), probabilities, certainty, leaves)
