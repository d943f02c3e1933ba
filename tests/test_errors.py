"""`UserError`: one sentence for what was expected and found, and the remedy."""

import pytest

from acl_lightning.errors import UserError


@pytest.mark.parametrize("found", ["0 rows", "0 rows."])  # the message of a library may end with a period
def test_the_message_has_one_period_after_what_was_found(found):
    error = UserError("a row", found, "Write one.")
    assert str(error) == "expected a row; found 0 rows. Write one."
    assert (error.expected, error.found, error.remedy) == ("a row", found, "Write one.")
