"""Messages of the command line: exceptions that are a mistake of the user, the line that explains each, warnings."""

from __future__ import annotations

import sys
import traceback
import warnings
from pathlib import Path

from acl_lightning.cli.parsing.messages import in_one_line, user_error_behind

#: Exceptions of libraries for settings that they refuse. By name, so that nothing is imported to look for them.
REFUSALS = {
    "lightning.fabric.utilities.exceptions.MisconfigurationException",
    "omegaconf.errors.OmegaConfBaseException",
}

#: Directory of this package, whose warnings are for the user.
PACKAGE = Path(__file__).parent.parent

#: Exceptions of W&B without a key of an account, or without a network.
WANDB_REFUSALS = {f"wandb.errors.errors.{name}" for name in ("UsageError", "CommError", "AuthenticationError")}


def mistake(error: Exception) -> str | None:
    """Return the line that explains a mistake of the user; None where the exception is a defect of the program.

    Args:
        error: Exception that ended a command.
    """
    if _names(error) & (REFUSALS | WANDB_REFUSALS):
        return _refusal(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"expected to read and write files; found {error}. Check paths, permissions and free space."
    if not isinstance(error, ValueError | RuntimeError):
        return None
    behind = user_error_behind(error)
    if behind is not None:
        return str(behind)
    if "loading state_dict" in str(error):
        lines = str(error).splitlines()
        return (
            f"expected a checkpoint of this configuration's shape; found:{' '.join(lines[1:3])}. "
            "Give the configuration it was trained with: --config RUN/config.yaml."
        )
    return in_one_line(str(error)) if _lightning_refused(error) else None


def _refusal(error: Exception) -> str:
    """Return the message of a library about what it refuses; for W&B with the ways to go on."""
    message = in_one_line(str(error))
    if not _names(error) & WANDB_REFUSALS:
        return message
    return (
        f"expected an account of W&B and a network; found: {message.rstrip('.')}. Run `wandb login`, or set the "
        "environment variable WANDB_MODE to offline; `study run SWEEP` runs the trials of a sweep without W&B."
    )


def refuse(message: str) -> int:
    """Print an error message to stderr. Returns exit code 2."""
    print(f"error: {message}", file=sys.stderr)  # noqa: T201
    return 2


def print_own_warnings_plainly() -> None:
    """Print warnings of this package as `warning: MESSAGE`; others keep their file and line.

    Libraries may replace the format while they are imported; then call it again.
    """
    others = warnings.formatwarning
    if getattr(others, "prints_own_plainly", False):
        return

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, UserWarning) and PACKAGE in Path(filename).parents:
            return f"warning: {message}\n"
        return others(message, category, filename, lineno, line)

    formatted.prints_own_plainly = True  # type: ignore[attr-defined]
    warnings.formatwarning = formatted


def _names(error: Exception) -> set[str]:
    """Return the full names of the exception's class and its base classes."""
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}


def _lightning_refused(error: Exception) -> bool:
    """Return whether a ValueError is Lightning's own check of a setting, for example of an unknown strategy."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, ValueError) and "lightning" in Path(last).parts
