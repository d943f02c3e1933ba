"""Finished runs of the command line on a tiny backbone, for tests that read run directories."""

from __future__ import annotations

import base64
import json
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

from matplotlib.figure import Figure

TINY = (
    "--data.source=synthetic",
    "--data.synthetic_rows=64",
    "--data.max_length=32",
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.logger=false",
)


#: A PNG file of one black pixel.
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg==")


def undrawn_figures() -> AbstractContextManager[Any]:
    """Save figures as files of one pixel, since drawing takes half of a short fit. Figures of loggers are drawn."""
    draw = Figure.savefig

    def save(figure: Figure, target: Any, **options: Any) -> None:
        if isinstance(target, Path):
            target.write_bytes(PIXEL)
        else:
            draw(figure, target, **options)

    return mock.patch.object(Figure, "savefig", save)


def finish_run(backbone: str, directory: Path, *arguments: str) -> Path:
    """Run `fit` in `directory`; add an operating point `first` at which all samples leave at exit 1."""
    from acl_lightning.cli import main

    backbone_argument = f"--model.encoder.backbone={backbone}"
    with mock.patch.object(sys, "argv", ["acl_lightning"]), undrawn_figures():
        assert main(["fit", *arguments, backbone_argument, *TINY, f"--run_dir={directory}"]) == 0
    path = directory / "result.json"
    result = json.loads(path.read_text())
    static = {"class_path": "acl_lightning.exits.criteria.static.Static", "init_args": {}}
    measured = next(iter(result["recommended"].values()))
    first = {**measured, "criterion": "static", "threshold": 1.0, "exit": static}
    path.write_text(json.dumps({**result, "recommended": {"first": first, **result["recommended"]}}))
    return directory
