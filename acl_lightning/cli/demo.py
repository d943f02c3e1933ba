"""The command `python -m acl_lightning demo DIRECTORY`."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Serve the page to this machine until the command is interrupted. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: No model is named, it cannot be loaded, Gradio is not installed, or the port is taken.
    """
    parser = Parser(
        prog="acl_lightning demo",
        description="Serve a local page that classifies a text and shows the answer of every exit.",
        example="demo runs/first --port 7860",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "directory", type=path, nargs="?", metavar="DIRECTORY", help="directory of a run or of an export"
    )
    model.add_argument(
        "--ckpt_path",
        metavar="FILE",
        help="checkpoint RUN/checkpoints/NAME.ckpt; together with a run also best or last (default: the checkpoint "
        "that its result is about)",
    )
    parser.add_argument_group("page").add_argument("--port", type=int, default=7860, help="port of the page")
    options = parser.parse_args(list(arguments))

    from acl_lightning.demo.page import build_page, open_page
    from acl_lightning.demo.served import load_served
    from acl_lightning.runs.checkpoints import run_of

    directory = options.directory
    if directory is None:
        if options.ckpt_path is None:
            raise UserError("a run, an export or --ckpt_path", "none of them", "Example: demo runs/NAME")
        directory = run_of(path(options.ckpt_path))
    page = build_page(load_served(directory, options.ckpt_path))
    print(f"{open_page(page, options.port)} (stop with Ctrl-C)", flush=True)  # noqa: T201
    page.block_thread()
    return 0
