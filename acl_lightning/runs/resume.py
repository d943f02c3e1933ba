"""Which settings a resumed run may change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from acl_lightning.errors import UserError
from acl_lightning.legacy import present_names

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
    "exit",  # settings of `predict`
    "best_checkpoint.verbose",
    "last_checkpoint.every_n_steps",
})  # fmt: skip

#: Settings whose new value is in force from the resumed step on.
APPLIED = frozenset({
    "trainer.max_epochs",  # the rest of the learning-rate schedule is that of a run of the new length
    "trainer.max_steps",
    "trainer.min_epochs",
    "trainer.min_steps",
    "trainer.max_time",
    "trainer.callbacks",  # may be added or removed; a callback that stays keeps its settings
    "data.eval_batch_size",
    "exit_sweep",
    "gradient_monitor",
})  # fmt: skip


class Difference(NamedTuple):
    """A setting with two values.

    Attributes:
        key: dotted key.
        old: value of the earlier run.
        new: value of the present command.
    """

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.old)} -> {_shown(self.new)}"


#: Stands for the value of a setting that one configuration does not have.
ABSENT = "(absent)"


def run_of(checkpoint: Path) -> Path:
    """Return the run directory that a checkpoint file lies in: `RUN/checkpoints/NAME.ckpt` or `RUN/hpc_ckpt_N.ckpt`."""
    parent = checkpoint.resolve().parent
    return parent.parent if parent.name == "checkpoints" else parent


def changed_settings(run: Path, settings: Mapping[str, Any]) -> list[Difference]:
    """Compare a command's settings with those of the run that it resumes.

    Args:
        run: directory of the run; holds `config.yaml`.
        settings: resolved configuration of the present command.

    Returns:
        The differing settings of `APPLIED`; those of `WITHOUT_EFFECT` are left out.

    Raises:
        UserError: no readable `config.yaml`, or a setting differs that a resumed run cannot change. The message names
            every one.
    """
    path = run / "config.yaml"
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"the configuration of the run to resume at {path}",
            "no such file" if isinstance(error, FileNotFoundError) else "a file that cannot be read",
            "Resume from a checkpoint inside its run directory, or start anew in another --run_dir.",
        ) from error
    earlier, _ = present_names(stored if isinstance(stored, dict) else {})
    found = [difference for difference in differences(earlier, settings) if not _below(difference.key, WITHOUT_EFFECT)]
    refused = [difference for difference in found if not _below(difference.key, APPLIED)]
    if refused:
        raise UserError(
            f"the settings of the run to resume, {run}",
            "; ".join(str(difference) for difference in refused),
            f"Resume with --config {path}, or start anew in another --run_dir.",
        )
    return found


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[Difference]:
    """List the settings in which two resolved configurations differ.

    An object of another class is one difference, at its key. Lists are compared as a whole, except `trainer.callbacks`,
    where only a callback of both configurations with other arguments is a difference.
    """
    found = []
    for name in dict.fromkeys([*old, *new]):
        key = f"{prefix}{name}"
        before, after = old.get(name, ABSENT), new.get(name, ABSENT)
        if key == "trainer.callbacks":
            found += _of_callbacks(before, after)
        elif before == after:
            continue
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            if before.get("class_path") != after.get("class_path"):
                found.append(Difference(key, before.get("class_path"), after.get("class_path")))
            else:
                found += differences(before, after, f"{key}.")
        else:
            found.append(Difference(key, before, after))
    return [difference._replace(key=difference.key.replace(".init_args.", ".")) for difference in found]


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
    return {one["class_path"]: one.get("init_args") or {} for one in listed if isinstance(one, Mapping)}


def _below(key: str, tables: frozenset[str]) -> bool:
    """Whether `key` or a section that it lies in is in the table."""
    parts = key.split(".")
    return any(".".join(parts[:length]) in tables for length in range(1, len(parts) + 1))


def _shown(value: Any) -> str:
    if value == ABSENT:
        return ABSENT
    if isinstance(value, Mapping) and "class_path" in value:
        return str(value["class_path"])
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
