"""Tables and figures for the loggers that can show them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


@singledispatch
def show_table(logger: Logger, key: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Show a table; loggers without tables ignore it.

    Args:
        logger: The logger.
        key: Name of the table.
        header: Column names.
        rows: Rows of the table.
    """


@singledispatch
def show_figure(logger: Logger, key: str, figure: Figure, saved: Path, step: int) -> None:
    """Show a figure; loggers without images ignore it.

    Args:
        logger: The logger.
        key: Name of the figure.
        figure: The figure.
        saved: The figure as a PNG file.
        step: Global step.
    """


@show_table.register
def _(logger: WandbLogger, key: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    logger.log_table(key, columns=list(header), data=[list(row) for row in rows])


@show_figure.register
def _(logger: WandbLogger, key: str, figure: Figure, saved: Path, step: int) -> None:
    logger.log_image(key, images=[str(saved)])


@show_figure.register
def _(logger: TensorBoardLogger, key: str, figure: Figure, saved: Path, step: int) -> None:
    canvas = FigureCanvasAgg(figure)  # SummaryWriter.add_figure would import pyplot, which looks for a display
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    logger.experiment.add_image(key, pixels, step, dataformats="HWC")
