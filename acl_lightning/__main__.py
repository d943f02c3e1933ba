"""Entry point of `python -m acl_lightning`."""

import os
import sys

from acl_lightning.fit_command import is_fit


def forget_working_directory(arguments: list[str]) -> None:
    """Remove the working directory from the module search path, except for `fit`.

    `python -m` puts it first, so that a file `yaml.py` beside a run from somebody else would be imported instead of the
    library. `fit` keeps it, since its configuration may name classes of the user in this directory; other commands
    import these with `--trust`. The directory of this program itself stays.

    Args:
        arguments: Arguments of the program, without its own name.
    """
    here = os.path.realpath(os.getcwd())  # noqa: PTH109 - importing pathlib would search the directory itself
    program = os.path.realpath(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120
    if not is_fit(arguments) and here != program:
        sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]


if __name__ == "__main__":
    forget_working_directory(sys.argv[1:])
    from acl_lightning.cli import main

    sys.exit(main())
