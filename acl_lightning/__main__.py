"""`python -m acl_lightning`."""

import os
import sys


def forget_working_directory(arguments: list[str]) -> None:
    """Take the working directory out of the module search path, except for `fit`.

    `python -m` puts it there first, so that a file `yaml.py` beside a received run would be taken for the library.
    `fit` keeps it, since its configuration may name classes of the user that lie there; other commands take those with
    `--trust`. The directory of this program itself stays.
    """
    trains = arguments[:1] == ["fit"] or (arguments[:1] != [] and arguments[0].startswith("-") and "fit" in arguments)
    here = os.path.realpath(os.getcwd())  # noqa: PTH109 - pathlib would be looked for in the directory itself
    program = os.path.realpath(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120
    if not trains and here != program:
        sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]


if __name__ == "__main__":
    forget_working_directory(sys.argv[1:])
    from acl_lightning.cli import main

    sys.exit(main())
