"""Text-classification pipeline of transformers for exported models."""

from __future__ import annotations

import warnings
from typing import Any

from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.text_classification import TextClassificationPipeline

from acl_lightning.export.config import MultiExitConfig

TASK = "text-classification"


class MultiExitPipeline(TextClassificationPipeline):  # type: ignore[misc]  # transformers has no types
    """Text-classification pipeline that truncates long texts as in training, with a warning.

    For any other model the constructor returns a pipeline of the class that transformers would have used.
    """

    _for_other_models: type = TextClassificationPipeline

    def __new__(cls, *arguments: Any, model: Any = None, **settings: Any) -> Any:
        """Return a pipeline of this class for an exported model, else a pipeline of the class registered before."""
        if model is None or isinstance(model.config, MultiExitConfig):  # without a model: a copy of a pipeline
            return super().__new__(cls)
        return cls._for_other_models(*arguments, model=model, **settings)

    def preprocess(self, inputs: Any, **tokenizer_kwargs: Any) -> Any:
        """Tokenize one text or pair. A `truncation` argument of the pipeline takes precedence."""
        if "truncation" in tokenizer_kwargs:
            return super().preprocess(inputs, **tokenizer_kwargs)
        tokens = super().preprocess(inputs, verbose=False, **tokenizer_kwargs)
        limit = self.model.config.max_length or self.model.encoder.backbone.max_tokens
        if tokens["input_ids"].shape[-1] <= limit:
            return tokens
        warnings.warn(f"texts of more than {limit} tokens are truncated, as in training", stacklevel=2)
        return super().preprocess(inputs, truncation=True, max_length=limit, **tokenizer_kwargs)


def register_pipeline() -> None:
    """Make `transformers.pipeline("text-classification", ...)` build a `MultiExitPipeline` for exported models.

    Only the class of the task's entry is changed. `PIPELINE_REGISTRY.register_pipeline` would log a warning, remove the
    task's default model, and make pipelines that are saved need `trust_remote_code`.
    """
    entry = PIPELINE_REGISTRY.supported_tasks[TASK]
    registered = entry["impl"]  # a class, or the dotted path of transformers' own
    if registered is not MultiExitPipeline:
        MultiExitPipeline._for_other_models = registered if isinstance(registered, type) else TextClassificationPipeline
        entry["impl"] = MultiExitPipeline
