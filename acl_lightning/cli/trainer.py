"""The commands `fit`, `validate`, `test` and `predict`: LightningCLI with a directory per run."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from acl_lightning.callbacks import (
    AdaptivePrediction,
    AtomicCheckpointIO,
    CheckpointPaths,
    CommonEnd,
    ConfigWriter,
    ExitSweep,
    GradientMonitor,
    LastCheckpoint,
    ProgressBar,
    ResultWriter,
    RNGState,
    SlurmRequeue,
    SummaryTable,
    TrainingCurves,
    ValidationSplitCheck,
)
from acl_lightning.cli.arguments import TRUST_HELP
from acl_lightning.cli.commands import EXAMPLES, TRAINER_COMMANDS
from acl_lightning.cli.loggers import configured_loggers, with_wandb, write_into
from acl_lightning.cli.parsing.data_module import named_data_module
from acl_lightning.cli.parsing.parser import Parser
from acl_lightning.errors import UserError
from acl_lightning.fit_command import is_fit
from acl_lightning.runs.data_modules import DATA_MODULE, DEFAULT_DATA_MODULE, data_module_class
from acl_lightning.runs.directory import choose_run_directory, config_hash
from acl_lightning.runs.names import CHECKPOINTS
from acl_lightning.runs.processes import is_first_process
from acl_lightning.runs.sections import link_sections
from acl_lightning.runs.session import AlreadyFinished, Session, starting_checkpoint
from acl_lightning.runs.trust import check_outputs, only_trusted_classes
from acl_lightning.studies.trials.agent_runs import describe_agent_run, is_agent_run
from acl_lightning.training.module import ACLModule

# `${data.task}` in a file means the whole configuration's data.task, after every --config and override is merged in.
set_parsing_settings(omegaconf_absolute_to_relative_paths=True)

#: The best checkpoint is selected on the selection split of the validation set.
BEST_CHECKPOINT_SETTINGS = {
    "filename": "best",
    "monitor": "val/selection",
    "mode": "max",
    "enable_version_counter": False,
}

#: Keys that do not count for the identity of a run: its directory and the checkpoint that it starts from.
NOT_SETTINGS = {"run_dir", "ckpt_path"}


class CommandLine(LightningCLI):
    """LightningCLI for `ACLModule` on the DataModule that the configuration names.

    Args:
        args: Name of the command and its arguments; None: those of the process.
        session: Holds the lock of the run directory while the command runs.
    """

    def __init__(self, args: Sequence[str] | None = None, session: Session | None = None) -> None:
        self.arguments = list(sys.argv[1:] if args is None else args)
        self.session = session or Session()
        self.data_class = data_module_class(
            named_data_module(self.arguments) or DEFAULT_DATA_MODULE, only_trusted=not is_fit(self.arguments)
        )
        super().__init__(
            model_class=ACLModule,
            datamodule_class=self.data_class,
            save_config_callback=None,  # ConfigWriter writes before paths of this run are filled in
            trainer_defaults={
                "logger": {
                    "class_path": "lightning.pytorch.loggers.CSVLogger",
                    # Another logger would take over CSVLogger's name. Written at once: a kill loses no metrics.
                    "init_args": {"save_dir": "runs", "name": None, "flush_logs_every_n_steps": 1},
                },
                "max_epochs": 3,
                "num_sanity_val_steps": 0,
                "log_every_n_steps": 10,
                "enable_model_summary": False,
                "use_distributed_sampler": False,  # the DataModule shards: the same batches for any world size
            },
            seed_everything_default=0,
            parser_kwargs={
                "prog": "acl_lightning",
                "description": f"Aligned contrastive fine-tuning of multi-exit encoders. {TRUST_HELP}",
                "parser_mode": "omegaconf+",
                **{name: _parser_settings(name, TRAINER_COMMANDS[name]) for name in self.subcommands()},
            },
            parser_class=Parser,
            auto_configure_optimizers=False,
            args=None if args is None else list(args),
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return the command that the arguments name, or all: each has a parser with hundreds of settings."""
        commands = LightningCLI.subcommands()
        return {name: skipped for name, skipped in commands.items() if [name] == self.arguments[:1]} or commands

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run directory, the configurable callbacks, and the links between sections."""
        parser.add_argument(
            "--run_dir", type=str | None, default=None, help="Where the run writes (default: a new one under runs/)."
        )
        parser.add_argument(
            f"--{DATA_MODULE}",
            type=str,
            default=DEFAULT_DATA_MODULE,
            help="Class of the DataModule, whose settings are the section data: GLUEDataModule, TableDataModule, "
            "acl_lightning.data.images.ImageDataModule or the path of another class.",
        )
        parser.add_lightning_class_args(ExitSweep, "exit_sweep")
        parser.add_lightning_class_args(GradientMonitor, "gradient_monitor")
        parser.add_lightning_class_args(AdaptivePrediction, "exit")
        parser.add_lightning_class_args(ModelCheckpoint, "best_checkpoint")
        parser.set_defaults({f"best_checkpoint.{key}": value for key, value in BEST_CHECKPOINT_SETTINGS.items()})
        parser.add_lightning_class_args(LastCheckpoint, "last_checkpoint")
        link_sections(parser, self.data_class)

    def _parse_ckpt_path(self) -> None:
        """Do nothing, so that the configuration wins over the hyperparameters that a checkpoint stores."""

    def _refuse_automatic_settings(self, trainer: Namespace) -> None:
        """Refuse settings of Lightning that are for automatic optimization only, and name the settings that apply."""
        ours = {"gradient_clip_val": ("max_grad_norm", 0), "accumulate_grad_batches": ("accumulate", 1)}
        for name, (setting, harmless) in ours.items():
            value = trainer.get(name)
            if value not in (None, harmless):
                raise UserError(
                    f"model.optimization.{setting} (optimization is manual here)",
                    f"trainer.{name} = {value}",
                    f"Set --model.optimization.{setting}={value}.",
                )

    def before_instantiate_classes(self) -> None:
        """Choose the run directory and set it wherever something is written, after the configuration is serialized."""
        command = str(self.subcommand)
        config = self.config[command]
        self._refuse_automatic_settings(config.trainer)
        if command != "fit":
            check_outputs(config, self.arguments)
        if command == "fit":  # the run keeps what follows from its data, so that later commands need no training rows
            for name, value in self.data_class.completed(config.data.as_dict()).items():
                config.data[name] = value
        text = self._parser(command).dump(config, skip_none=False)
        settings = yaml.safe_load(text)
        identity = config_hash(yaml.safe_dump({k: v for k, v in settings.items() if k not in NOT_SETTINGS}))
        task = self.data_class.run_name(config.data.as_dict())
        self.session.command, self.session.termination.immediate = command, command == "predict"
        config.ckpt_path = starting_checkpoint(config.ckpt_path, config.run_dir, command, settings)
        if command == "predict":  # the file has them; a list would grow with the data
            config.return_predictions = bool(config.return_predictions)
        directory = choose_run_directory(config.run_dir, command, task, identity, config.ckpt_path)
        self.session.use(directory, lock=is_first_process())
        result = ResultWriter()
        result.config_hash = identity
        result.config_files = [Path(str(file)).name for file in config.get("config") or []]
        self.own_callbacks = [ConfigWriter(command, text), RNGState(), result, SummaryTable()]
        self.own_callbacks += [CheckpointPaths(), SlurmRequeue(), CommonEnd(self.session.termination)]
        config.trainer.default_root_dir = str(directory)
        for name in ("best_checkpoint", "last_checkpoint"):
            config[name].dirpath = str(directory / CHECKPOINTS)
        if is_agent_run() and command == "fit":
            config.trainer.logger = with_wandb(config.trainer.logger)
            if is_first_process():
                describe_agent_run(directory, self.arguments)
        for logger in configured_loggers(config.trainer.logger):
            write_into(logger, directory)

    def after_instantiate_classes(self) -> None:
        """Check the checkpoint's task and architecture before anything is written."""
        path = self.config[str(self.subcommand)].ckpt_path
        if path is not None:
            self.model.on_load_checkpoint(torch.load(path, map_location="cpu", weights_only=True, mmap=True))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with the callbacks that every run has, and those for enabled progress bars and loggers."""
        settings = self.config[str(self.subcommand)].trainer
        self.trainer_defaults["callbacks"] = [*self.own_callbacks, ValidationSplitCheck()]
        if settings.enable_progress_bar is not False:
            self.trainer_defaults["callbacks"].append(ProgressBar())
        if settings.logger not in (None, False):
            self.trainer_defaults["callbacks"].extend([LearningRateMonitor("step"), TrainingCurves()])
        trainer = super().instantiate_trainer(**kwargs)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        return trainer

    def after_fit(self) -> None:
        """Validate the best checkpoint: exit sweep, figures, result and summary table are about it.

        A run that ended before its first validation has no best checkpoint; its last checkpoint is validated.
        """
        if self.config[str(self.subcommand)].trainer.fast_dev_run or self.trainer.limit_val_batches == 0:
            return
        callbacks = self.trainer.checkpoint_callbacks
        best = next(callback for callback in callbacks if isinstance(callback, ModelCheckpoint)).best_model_path
        last = next(callback for callback in callbacks if isinstance(callback, LastCheckpoint)).path(self.trainer)
        checkpoint = best or (str(last) if last.is_file() else None)
        if not best and self.trainer.is_global_zero:
            warnings.warn(
                "the training ended before its first validation: there is no best.ckpt, and the results are about "
                "last.ckpt",
                stacklevel=1,
            )
        self.trainer.validate(self.model, datamodule=self.datamodule, ckpt_path=checkpoint, verbose=False)


def _parser_settings(command: str, description: str) -> dict[str, str]:
    """Return settings of the parser of a command; the usage lists no options, since there are hundreds."""
    return {
        "parser_mode": "omegaconf+",
        "usage": f"acl_lightning {command} [--config FILE ...] [--SECTION.SETTING VALUE ...]",
        "description": f"{description[0].upper()}{description[1:]}. {TRUST_HELP}",
        "epilog": f"Example: python -m acl_lightning {EXAMPLES[command]}",
    }


def run_trainer(args: Sequence[str] | None, session: Session) -> int:
    """Run `fit`, `validate`, `test` or `predict`. Returns exit code 0.

    Args:
        args: Name of the command and its arguments; None: those of the process.
        session: Holds the lock of the run directory while the command runs.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # Lightning sets its own level when it is imported
    # Only `fit` takes a configuration as code of the user. The other commands read a run of somebody else.
    reads_a_run = not is_fit(list(sys.argv[1:] if args is None else args))
    with only_trusted_classes() if reads_a_run else contextlib.nullcontext():
        try:
            CommandLine(args, session)
        except AlreadyFinished as finished:
            if is_first_process():
                print(finished)  # noqa: T201
    return 0
