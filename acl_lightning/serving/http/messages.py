"""Requests and responses of the HTTP service: schemas, checks and conversion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StrictBool, StrictStr, WithJsonSchema

from acl_lightning.errors import UserError
from acl_lightning.serving.answers import Answers
from acl_lightning.serving.http.limits import Limits
from acl_lightning.serving.tokens import Text, TextEncoder

_PAIR = {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}
_TEXTS = {
    "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, _PAIR]}}],
    "description": "A text, or a list of texts; for a model of pairs a list of pairs. An empty text is valid.",
}


class PredictRequest(BaseModel):
    """Body of a request to `/predict`.

    Attributes:
        texts: A text, or a list of texts or pairs. It is checked by `texts_of`, whose messages name the sample.
        operating_point: Operating point of this request; None: that of the service.
        probabilities: Whether to answer with the probabilities of all classes.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"texts": ["A fine film.", "Dull from start to end."]}]},
    )

    texts: Annotated[object, WithJsonSchema(_TEXTS)]
    operating_point: StrictStr | None = None
    probabilities: StrictBool = False


class Prediction(BaseModel):
    """Answer for a text.

    Attributes:
        label: Name of the predicted class, or the predicted value for a regression; None where it is not finite.
        confidence: Probability of the predicted class; None for a regression.
        exit_layer: Layer at which the text left, counted from 1.
        probabilities: Probability of each class by name, if they were asked for.
    """

    label: str | float | None
    confidence: float | None
    exit_layer: int
    probabilities: dict[str, float | None] | None = None


class PredictResponse(BaseModel):
    """Answers in the order of the texts.

    Attributes:
        operating_point: Operating point that was used.
        predictions: An answer per text.
    """

    operating_point: str
    predictions: list[Prediction]


class Problem(BaseModel):
    """Body of a response to a request that was refused.

    Attributes:
        detail: `expected ...; found .... Remedy.`
    """

    detail: str


class Health(BaseModel):
    """Body of the response of `/health`.

    Attributes:
        status: `ok`.
        task: Name of the task.
        precision: Precision of the weights.
        operating_point: Operating point of requests that name none.
        operating_points: Names that a request may name.
        waiting: Number of texts that wait.
    """

    status: str
    task: str
    precision: str
    operating_point: str
    operating_points: list[str]
    waiting: int


class TooLargeError(Exception):
    """A request is beyond a limit of the service."""


def texts_of(request: PredictRequest, encoder: TextEncoder, limits: Limits) -> list[Text]:
    """Return the texts of a request.

    Raises:
        UserError: There is no text, or a value is not a text (or a pair, for a model of pairs).
        TooLargeError: There are too many texts or characters.
    """
    texts = [request.texts] if isinstance(request.texts, str) else request.texts
    if not isinstance(texts, list):
        raise UserError("a string or a list of strings as texts", type(texts).__name__, 'Send {"texts": ["..."]}.')
    if not texts:
        raise UserError("1 text or more as texts", "an empty list", 'Send {"texts": ["..."]}.')
    if len(texts) > limits.texts:
        problem = UserError(
            f"at most {limits.texts} texts in a request",
            f"{len(texts)}",
            f"Send several requests, or start the service with --texts {len(texts)}.",
        )
        raise TooLargeError(str(problem))
    for number, text in enumerate(texts):
        for part in text if isinstance(text, list) else (text,):
            if isinstance(part, str) and len(part) > limits.characters:
                raise TooLargeError(str(_too_long(number, len(part), limits, encoder.max_length)))
        encoder.check(text, number)
    return [(text[0], text[1]) if isinstance(text, list) else text for text in texts]


def _too_long(number: int, length: int, limits: Limits, max_length: int) -> UserError:
    return UserError(
        f"at most {limits.characters} characters in sample {number}",
        f"{length}",
        f"Shorten it (the model reads {max_length} tokens), or start the service with --characters {length}.",
    )


def predictions(
    parts: Sequence[Answers], label_names: Sequence[str], *, probabilities: bool
) -> list[dict[str, object]]:
    """Return answers as the content of `Prediction`, in plain JSON types.

    Args:
        parts: Answers of consecutive texts.
        label_names: Names of the classes; empty for a regression.
        probabilities: Whether to add the probabilities of all classes.
    """
    return [row for part in parts for row in _rows(part, label_names, probabilities=probabilities)]


def _rows(answers: Answers, label_names: Sequence[str], *, probabilities: bool) -> Iterator[dict[str, object]]:
    confidences, layers = answers.confidences.tolist(), answers.exit_layers.tolist()
    for number, label in enumerate(answers.labels):
        row: dict[str, object] = {
            "label": label,
            "confidence": _finite(confidences[number]),
            "exit_layer": layers[number],
        }
        if probabilities and label_names:
            values = map(_finite, answers.probabilities[number].tolist())
            row["probabilities"] = dict(zip(label_names, values, strict=True))
        yield row


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
