"""Links between the sections of a configuration, for the command line and for saved runs."""

from __future__ import annotations

import inspect

from jsonargparse import ArgumentParser

from acl_lightning.errors import UserError

#: Largest seed that numpy accepts.
LARGEST_SEED = 2**32 - 1


def link_sections(parser: ArgumentParser, data_module: type) -> None:
    """Link the sections `model`, `data` and `seed_everything` of a parser.

    The tokenizer is the backbone's, the order of the training rows follows the run's seed, and the module learns the
    task's name, labels and metrics from the DataModule.

    Args:
        parser: Parser with these sections.
        data_module: Class of the DataModule. A setting that it does not have is not linked.
    """
    settings = inspect.signature(data_module).parameters
    if "tokenizer" in settings:
        parser.link_arguments("model.encoder.backbone", "data.tokenizer")
    if "shuffle_seed" in settings:
        parser.link_arguments("seed_everything", "data.shuffle_seed", compute_fn=checked_seed)
    parser.link_arguments("data.task_name", "model.task_name", apply_on="instantiate")
    parser.link_arguments("data.label_names", "model.label_names", apply_on="instantiate")
    parser.link_arguments("data.metrics", "model.metric_names", apply_on="instantiate")


def checked_seed(seed: bool | int) -> int:
    """Return the seed of a run.

    Raises:
        UserError: The seed is switched off or random (`true` in Lightning), or numpy does not accept it.
    """
    if isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
        raise UserError(
            f"an integer from 0 to {LARGEST_SEED} for seed_everything",
            str(seed).lower(),
            "Set seed_everything to 0 (the default) or another integer.",
        )
    return seed
