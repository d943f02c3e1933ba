"""Settings that a resumed run may change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from acl_lightning.errors import UserError
from acl_lightning.runs.names import CONFIG
from acl_lightning.runs.records.config import read_config

#: Settings that change neither the weights nor the results of a run.
WITHOUT_EFFECT = frozenset({
    "run_dir",
    "ckpt_path",
    "weights_only",
    "trainer.accelerator",  # the number of processes must stay: the loader compares the global batch size
    "trainer.strategy",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.enable_autolog_hparams",
    "trainer.num_sanity_val_steps",
    "trainer.profiler",
    "trainer.detect_anomaly",
    "trainer.default_root_dir",
    "trainer.limit_test_batches",
    "trainer.limit_predict_batches",
    "data.root",
    "data.cache_dir",
    "data.num_workers",
    "data.predict_split",
    "data.predict",
    "data.test",
    "exit",  # settings of `predict`
    "best_checkpoint.verbose",
    "last_checkpoint.every_n_steps",
})  # fmt: skip

#: Settings that earlier versions did not have -> value that stands for their behaviour; null for all others.
ADDED: dict[str, Any] = {
    "data_module": "acl_lightning.data.GLUEDataModule",
    "data.selection": "validation",
    "data.selection_rows": None,
    "data.label_noise": 0.0,
    "data.text_noise": None,
    "data.batches": None,
    "data.max_tokens_per_batch": None,
    "model.encoder.frozen_layers": None,
    "model.encoder.lora": None,
    "model.encoder.random_init": False,
    "model.optimization.layer_decay": None,
}

#: Settings whose new value is in force from the resumed step on.
APPLIED = frozenset({
    "trainer.max_epochs",  # the rest of the learning-rate schedule is that of a run of the new length
    "trainer.max_steps",
    "trainer.min_epochs",
    "trainer.min_steps",
    "trainer.max_time",
    "trainer.callbacks",  # may be added or removed; a callback that stays keeps its settings
    "data.eval_batch_size",
    "data.max_tokens_per_batch",
    "exit_sweep",
    "gradient_monitor",
})  # fmt: skip


class Difference(NamedTuple):
    """A setting with two values.

    Attributes:
        key: Name of the setting, with dots.
        old: Value of the earlier run.
        new: Value of the present command.
    """

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.old)} -> {_shown(self.new)}"


#: Stands for the value of a setting that only the other configuration has.
ABSENT = "(absent)"


def changed_settings(run: Path, settings: Mapping[str, Any]) -> list[Difference]:
    """Compare a command's settings with those of the run that it resumes.

    Args:
        run: Run directory with `config.yaml`.
        settings: Resolved configuration of the present command.

    Returns:
        The differing settings of `APPLIED`; those of `WITHOUT_EFFECT` are left out.

    Raises:
        UserError: There is no readable `config.yaml`, or settings differ that a resumed run cannot change. The message
            names all of them.
    """
    remedy = "Resume from a checkpoint inside its run directory, or start anew in another --run_dir."
    earlier = read_config(run, remedy)
    changed = [item for item in differences(earlier, settings) if not _below(item.key, WITHOUT_EFFECT)]
    refused = [item for item in changed if not _below(item.key, APPLIED)]
    if refused:
        raise UserError(
            f"the settings of the run to resume, {run}",
            "; ".join(str(item) for item in refused),
            f"Resume with --config {run / CONFIG}, or start anew in another --run_dir.",
        )
    return changed


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[Difference]:
    """List the settings in which two resolved configurations differ.

    An object of another class is a single difference, at its key. Lists are compared as a whole. In
    `trainer.callbacks`, only other arguments of a callback that both configurations have are differences. A setting
    that an earlier version did not have is no difference if it is null.
    """
    differing = []
    for name in dict.fromkeys([*old, *new]):
        key = f"{prefix}{name}"
        before, after = old.get(name, ABSENT), new.get(name, ABSENT)
        if key == "trainer.callbacks":
            differing += _of_callbacks(before, after)
        elif before == after or (before == ABSENT and after == ADDED.get(key)):
            continue
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            if before.get("class_path") != after.get("class_path"):
                differing.append(Difference(key, before.get("class_path"), after.get("class_path")))
            else:
                differing += differences(before, after, f"{key}.")
        else:
            differing.append(Difference(key, before, after))
    return [difference._replace(key=difference.key.replace(".init_args.", ".")) for difference in differing]


def _of_callbacks(before: Any, after: Any) -> list[Difference]:
    """Differences in the arguments of the callbacks that both configurations have.

    The key is not below `trainer.callbacks`: Lightning may restore the old argument with the callback's state.
    """
    old, new = _by_class(before), _by_class(after)
    return [
        difference
        for name in old
        if name in new
        for difference in differences(old[name], new[name], f"{name.rpartition('.')[2]}.")
    ]


def _by_class(callbacks: Any) -> dict[str, Mapping[str, Any]]:
    listed = callbacks if isinstance(callbacks, list) else [callbacks]
    return {item["class_path"]: item.get("init_args") or {} for item in listed if isinstance(item, Mapping)}


def _below(key: str, tables: frozenset[str]) -> bool:
    """Whether `key` or a section around it is in the table."""
    parts = key.split(".")
    return any(".".join(parts[:length]) in tables for length in range(1, len(parts) + 1))


def _shown(value: Any) -> str:
    if value == ABSENT:
        return ABSENT
    if isinstance(value, Mapping) and "class_path" in value:
        return str(value["class_path"])
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
