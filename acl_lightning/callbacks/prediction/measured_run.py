"""Operating points and temperatures of the run to which a checkpoint belongs."""

from __future__ import annotations

from pathlib import Path

from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, from_config, stored_temperatures
from acl_lightning.runs.checkpoints import run_of
from acl_lightning.runs.records import read_result


def read_temperatures(checkpoint: str | Path | None, num_exits: int) -> tuple[float, ...] | None:
    """Return the temperature of each exit from the `result.json` of a checkpoint's run.

    Returns:
        None without a checkpoint, without a readable result of this checkpoint, and for a run that was not calibrated.

    Raises:
        UserError: The temperatures are damaged.
    """
    if not checkpoint:
        return None
    try:
        result = read_result(run_of(checkpoint), added_points=False)
    except UserError:
        return None
    return stored_temperatures(result.report, num_exits) if result.measured(checkpoint) else None


def read_operating_point(checkpoint: str | Path | None, name: str) -> tuple[Criterion, float]:
    """Return criterion and threshold of an operating point of a checkpoint's run.

    Args:
        checkpoint: A file in the run directory or its folder of checkpoints, such as `RUN/checkpoints/best.ckpt`.
        name: Name of the operating point.

    Raises:
        UserError: There is no checkpoint, no readable `result.json` in its run, or no point of that name; or the point
            was measured on another checkpoint.
    """
    if not checkpoint:
        raise UserError("a checkpoint for an operating point", "none", "Give --ckpt_path RUN/checkpoints/best.ckpt.")
    try:
        result = read_result(run_of(checkpoint))
    except UserError as error:
        remedy = "Run `validate` into that directory, or give a threshold."
        raise UserError(error.expected, error.found, remedy) from error
    point = result.operating_point(name, "Choose a point with `points RUN`, for example points RUN --speed 2.")
    if not result.measured(checkpoint):
        raise UserError(
            f"the checkpoint that {name!r} was measured on, {result.checkpoint}",
            f"{checkpoint}",
            "Validate this checkpoint: thresholds of other weights do not apply to it.",
        )
    return from_config(point["exit"]), float(point["threshold"])
