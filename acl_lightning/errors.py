"""Error with a message for the user."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in the configuration, the data or the files of the user.

    The message has the form `expected X; found Y. Remedy.` The command line prints it without a traceback and exits
    with code 2. Every other exception is a defect of the package and keeps its traceback.

    Args:
        expected: Expected value, file or condition.
        found: Actual value, file or condition.
        remedy: Sentence that names a setting and a value that works.
    """

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        self.expected, self.found, self.remedy = expected, found, remedy
        # Messages of libraries, which are quoted as `found`, may end with a period.
        super().__init__(f"expected {expected}; found {found.removesuffix('.')}. {remedy}")
