"""transformers' text-classification pipeline for exported models."""

from __future__ import annotations

import warnings
from typing import Any

from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.text_classification import TextClassificationPipeline

from acl_lightning.export.config import MultiExitConfig


class MultiExitPipeline(TextClassificationPipeline):  # type: ignore[misc]  # transformers has no types
    """Text classification in which an exported model truncates long texts as in training, with a warning.

    With other models it is transformers' own pipeline.
    """

    def preprocess(self, inputs: Any, **tokenizer_kwargs: Any) -> Any:
        """Tokenize one text or pair; `truncation` given to the pipeline takes precedence."""
        if not isinstance(self.model.config, MultiExitConfig) or "truncation" in tokenizer_kwargs:
            return super().preprocess(inputs, **tokenizer_kwargs)
        tokens = super().preprocess(inputs, verbose=False, **tokenizer_kwargs)
        limit = self.model.config.max_length or self.model.encoder.backbone.max_tokens
        if tokens["input_ids"].shape[-1] <= limit:
            return tokens
        warnings.warn(f"texts of more than {limit} tokens are truncated, as in training", stacklevel=2)
        return super().preprocess(inputs, truncation=True, max_length=limit, **tokenizer_kwargs)


def register_pipeline() -> None:
    """Make `transformers.pipeline("text-classification", ...)` build a `MultiExitPipeline`.

    The entry is changed in place: `register_pipeline` of transformers would warn, and lose the default model.
    """
    PIPELINE_REGISTRY.supported_tasks["text-classification"]["impl"] = MultiExitPipeline
