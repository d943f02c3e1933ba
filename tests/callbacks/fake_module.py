"""A LightningModule that knows its exit logits: what the sweep's callbacks need, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

EXITS, SAMPLES = 4, 40

#: What Lightning warns about in any Trainer run here: its own use of a torch interface, and advice for real data sets.
QUIET_TRAINER = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]


class Rows(Dataset[dict[str, Tensor]]):
    """Samples whose exits grow surer with depth, the later the harder the sample: grades 0 to 3."""

    def __init__(self, *, regression: bool = False, without: tuple[str, ...] = ()) -> None:
        generator = torch.Generator().manual_seed(0)
        difficulty = torch.arange(SAMPLES) % EXITS
        values = 5 * torch.rand(SAMPLES, generator=generator)
        labels = values if regression else torch.arange(SAMPLES) // EXITS % 2
        knows_EB = torch.arange(EXITS)[:, None] >= difficulty
        if regression:
            noise_EB = 3 * torch.rand(EXITS, SAMPLES, generator=generator) * ~knows_EB
            logits_EBC = (values + noise_EB).unsqueeze(-1)
        else:
            sign_EB = torch.where(labels == 1, 1.0, -1.0) * torch.where(knows_EB, 4.0, -0.05)
            logits_EBC = torch.stack([-sign_EB, sign_EB], dim=-1)
        columns = {
            "logits": logits_EBC.transpose(0, 1),
            "labels": labels,
            "index": torch.arange(SAMPLES),
            "selection": torch.arange(SAMPLES) // EXITS % 4 < 2,
            "num_tokens": torch.full((SAMPLES,), 10) + torch.arange(SAMPLES) % 3,
            "difficulty": difficulty,
        }
        self.columns = {name: values for name, values in columns.items() if name not in without}

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {name: values[row] for name, values in self.columns.items()}


class FakeModule(LightningModule):
    """Four exits, behind the layers 1, 2, 4 and 6 of six."""

    exit_layers = (1, 2, 4, 6)
    depth = 6
    task_name = "fake"

    def __init__(self, metric_names: tuple[str, ...] = ("accuracy", "f1"), fail: Exception | None = None) -> None:
        super().__init__()
        self.metric_names = list(metric_names)
        self.fail = fail
        self.asked_tokens: set[int] = set()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def exit_flops(self, num_tokens: int) -> tuple[float, ...]:
        self.asked_tokens.add(num_tokens)
        return (100.0, 200.0, 400.0, 600.0)

    def static_exit_flops(self, num_tokens: int) -> tuple[float, ...]:
        return (100.0, 190.0, 370.0, 540.0)

    def full_depth_flops(self, num_tokens: int) -> float:
        return 540.0

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        if self.fail:
            raise self.fail
        outputs = {name: values for name, values in batch.items() if name != "logits"}
        return {"logits_EBC": batch["logits"].transpose(0, 1), **outputs}

    def on_validation_epoch_end(self) -> None:
        self.log_dict({"val/accuracy": 0.9, "val/undefined": float("nan")})

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return self.weight**2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader(**kind: Any) -> DataLoader[dict[str, Tensor]]:
    return DataLoader(Rows(**kind), batch_size=16)


def trainer_for(run_directory: object, *callbacks: Callback, **settings: Any) -> Trainer:
    quiet = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "max_epochs": 1,
    }
    return Trainer(default_root_dir=str(run_directory), callbacks=list(callbacks), **{**quiet, **settings})
