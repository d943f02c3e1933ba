"""What one section of a configuration takes from another: the same for the command line and for saved runs."""

from __future__ import annotations

from jsonargparse import ArgumentParser


def link_sections(parser: ArgumentParser) -> None:
    """Link the sections `model`, `data` and `seed_everything` of a parser.

    The tokenizer is the backbone's, the order of the training rows follows the run's seed, and the module learns the
    task's name, labels and metrics from the DataModule.
    """
    parser.link_arguments("model.encoder.backbone", "data.tokenizer")
    parser.link_arguments("seed_everything", "data.shuffle_seed")
    parser.link_arguments("data.task_name", "model.task_name", apply_on="instantiate")
    parser.link_arguments("data.label_names", "model.label_names", apply_on="instantiate")
    parser.link_arguments("data.metrics", "model.metric_names", apply_on="instantiate")
