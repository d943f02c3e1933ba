"""`python -m acl_lightning demo RUN`."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.demo.page import build_page, open_page
from acl_lightning.demo.served import load_served, run_of_checkpoint
from acl_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Open the page on this machine alone, until it is interrupted.

    Raises:
        UserError: no model named, one that cannot be loaded, no Gradio, or a port that is taken.
    """
    parser = Parser(prog="acl_lightning demo", description="A local page that classifies a sentence.")
    parser.add_argument("directory", type=path, nargs="?", help="a run, or what `export` wrote")
    parser.add_argument("--ckpt_path", help="RUN/checkpoints/NAME.ckpt; with a run also best or last")
    parser.add_argument("--port", type=int, default=7860, help="of the page (default: 7860)")
    given = parser.parse_args(list(arguments))
    directory = given.directory
    if directory is None:
        if given.ckpt_path is None:
            raise UserError("a run, an export or --ckpt_path", "none of them", "Example: demo runs/NAME")
        directory = run_of_checkpoint(path(given.ckpt_path))
    page = build_page(load_served(directory, given.ckpt_path))
    print(f"{open_page(page, given.port)} (stop with Ctrl-C)", flush=True)  # noqa: T201 - the command's answer
    page.block_thread()
    return 0
