"""The one error that is addressed to the user."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in the configuration, the data or the files that the user gave.

    The message is one or two lines: what was expected, what was found, what to do about it. The command line prints it
    without a traceback and exits with code 2; every other exception is a defect of ours and keeps its traceback.
    """

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        super().__init__(f"expected {expected}; found {found}. {remedy}")
