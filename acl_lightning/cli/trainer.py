"""The command line: `fit`, `validate`, `test`, `predict` on LightningCLI, with short errors and a directory per run."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from omegaconf.errors import OmegaConfBaseException

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
from acl_lightning.cli.commands import find, overview, run, unknown
from acl_lightning.cli.parsing import Parser, in_one_line, user_error_behind
from acl_lightning.data import GLUEDataModule, task_info
from acl_lightning.errors import UserError
from acl_lightning.runs.directory import choose_run_directory, config_hash
from acl_lightning.runs.names import CHECKPOINTS
from acl_lightning.runs.processes import is_first_process
from acl_lightning.runs.sections import link_sections
from acl_lightning.runs.session import AlreadyFinished, Session, advice, starting_checkpoint
from acl_lightning.runs.trust import check_outputs, only_trusted_classes, split_trust, trust
from acl_lightning.training.module import ACLModule

# `${data.task}` in a file means the whole configuration's data.task, after every --config and override is merged in.
set_parsing_settings(omegaconf_absolute_to_relative_paths=True)

#: The best checkpoint is chosen on the half of the validation set that is not reported.
BEST_CHECKPOINT = {"filename": "best", "monitor": "val/selection", "mode": "max", "enable_version_counter": False}

#: Where a run writes and what it starts from: not part of what it is.
NOT_SETTINGS = {"run_dir", "ckpt_path"}


class CommandLine(LightningCLI):
    """LightningCLI for `ACLModule` on `GLUEDataModule`; see the README for its keys."""

    def __init__(self, args: Sequence[str] | None = None, session: Session | None = None) -> None:
        self.arguments = list(sys.argv[1:] if args is None else args)
        self.session = session or Session()
        super().__init__(
            model_class=ACLModule,
            datamodule_class=GLUEDataModule,
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
                "description": f"Aligned contrastive fine-tuning of multi-exit encoders. {overview()} {TRUST_HELP}",
                "parser_mode": "omegaconf+",
                **{name: {"parser_mode": "omegaconf+"} for name in self.subcommands()},
            },
            parser_class=Parser,
            auto_configure_optimizers=False,
            args=None if args is None else list(args),
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Run directory, configurable callbacks, and what one section takes from another."""
        parser.add_argument(
            "--run_dir", type=str | None, default=None, help="Where the run writes (default: a new one under runs/)."
        )
        parser.add_lightning_class_args(ExitSweep, "exit_sweep")
        parser.add_lightning_class_args(GradientMonitor, "gradient_monitor")
        parser.add_lightning_class_args(AdaptivePrediction, "exit")
        parser.add_lightning_class_args(ModelCheckpoint, "best_checkpoint")
        parser.set_defaults({f"best_checkpoint.{key}": value for key, value in BEST_CHECKPOINT.items()})
        parser.add_lightning_class_args(LastCheckpoint, "last_checkpoint")
        link_sections(parser)

    def _parse_ckpt_path(self) -> None:
        """Do nothing: a given configuration always wins over what a checkpoint remembers."""

    def _refuse_automatic_settings(self, trainer: Namespace) -> None:
        """Name our settings to who gives Lightning's, which are for automatic optimisation only."""
        ours = {"gradient_clip_val": ("max_grad_norm", 0), "accumulate_grad_batches": ("accumulate", 1)}
        for name, (setting, harmless) in ours.items():
            given = trainer.get(name)
            if given not in (None, harmless):
                raise UserError(
                    f"model.optimization.{setting} (optimisation is manual here)",
                    f"trainer.{name} = {given}",
                    f"Set --model.optimization.{setting}={given}.",
                )

    def before_instantiate_classes(self) -> None:
        """Choose the run directory and point everything that writes at it, after the configuration is written down."""
        command = str(self.subcommand)
        config = self.config[command]
        self._refuse_automatic_settings(config.trainer)
        if command != "fit":
            check_outputs(config, self.arguments)
        text = self._parser(command).dump(config, skip_none=False)
        settings = yaml.safe_load(text)
        identity = config_hash(yaml.safe_dump({k: v for k, v in settings.items() if k not in NOT_SETTINGS}))
        task = task_info(config.data.task).name
        self.session.command, self.session.termination.immediate = command, command == "predict"
        config.ckpt_path = starting_checkpoint(config.ckpt_path, config.run_dir, command, settings)
        if command == "predict":  # they are in the file; a list of them would grow with the data
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
        loggers = config.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if isinstance(logger, Namespace):
                _write_into(logger, directory)

    def after_instantiate_classes(self) -> None:
        """Let the module refuse a checkpoint of another task or architecture before anything is written."""
        path = self.config[str(self.subcommand)].ckpt_path
        if path is not None:
            self.model.on_load_checkpoint(torch.load(path, map_location="cpu", weights_only=True, mmap=True))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the callbacks that are no matter of taste; progress bar and learning rate where they are wanted."""
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
        """Measure the best checkpoint: sweep, curve, result and closing table are about it.

        A run that ended before its first validation has none, and is measured on its last.
        """
        if self.config[str(self.subcommand)].trainer.fast_dev_run or self.trainer.limit_val_batches == 0:
            return
        best = next(one for one in self.trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint))
        last = next(one for one in self.trainer.checkpoint_callbacks if isinstance(one, LastCheckpoint)).path(
            self.trainer
        )
        found = best.best_model_path or (str(last) if last.is_file() else None)
        self.trainer.validate(self.model, datamodule=self.datamodule, ckpt_path=found, verbose=False)


def _write_into(logger: Namespace, directory: Path) -> None:
    """Let a logger write inside the run directory, in a fresh folder: CSVLogger empties one that it finds."""
    settings = logger.init_args
    kind = logger.class_path.rpartition(".")[2]
    if "save_dir" in settings:
        settings.save_dir = str(directory)
    if kind == "WandbLogger":
        settings.name = settings.name or directory.name
    elif "version" in settings and "name" in settings:
        base = {"CSVLogger": "logs", "TensorBoardLogger": "tensorboard"}.get(kind, kind)
        taken = sum(1 for _ in directory.glob(f"{base}*"))
        settings.name, settings.version = "", f"{base}-{taken}" if taken else base


def main(args: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0, or 2 after one line about a user's mistake; defects keep their traceback.

    Args:
        args: as in `sys.argv[1:]`, which is the default.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # no tips; what matters is in the closing table
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")  # torch to Lightning, of no use to a user
    warnings.filterwarnings("ignore", message=".*checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*recommended to use `self.log.*sync_dist=True")  # torchmetrics does it
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")  # --trust is taken out of it
    warnings.filterwarnings("ignore", message="The dirpath has changed from")  # `validate` of a checkpoint elsewhere
    try:
        return _run(args)
    except (MisconfigurationException, OmegaConfBaseException) as error:
        return _refuse(in_one_line(str(error)))
    except OSError as error:
        if error.errno is None:
            raise
        return _refuse(f"expected to read and write files; found {error}. Check paths, permissions and free space.")
    except (ValueError, RuntimeError) as error:
        behind = user_error_behind(error)
        if behind is not None:
            return _refuse(str(behind))
        if "loading state_dict" not in str(error):
            if _lightning_refused(error):
                return _refuse(in_one_line(str(error)))
            raise
        lines = str(error).splitlines()
        return _refuse(
            f"expected a checkpoint of this configuration's shape; found:{' '.join(lines[1:3])}. "
            "Give the configuration it was trained with: --config RUN/config.yaml."
        )
    finally:
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish()  # else the next run in this process would log into this one


def _run(args: Sequence[str] | None) -> int:
    """A command of its own where the first argument names one, else the Trainer's."""
    arguments, trusted = split_trust(list(sys.argv[1:] if args is None else args))
    trust(trusted)
    own = find(arguments)
    problem = None if own is not None else unknown(arguments, list(CommandLine.subcommands()))
    if problem is not None:
        return _refuse(problem)
    reads_a_run = arguments[:1] != ["fit"] and not ({"-h", "--help"} & {*arguments[:1]})
    with Session() as session:
        try:
            if own is not None:
                return run(own, arguments[1:])
            with only_trusted_classes() if reads_a_run else contextlib.nullcontext():
                CommandLine(arguments if trusted else args, session)
        except AlreadyFinished as finished:
            if is_first_process():
                print(finished)  # noqa: T201
        except (KeyboardInterrupt, SystemExit) as stop:
            code = session.termination.exit_code(stop)
            if code is None:
                raise
            if is_first_process():
                print(advice(code, session.command, session.run), file=sys.stderr)  # noqa: T201
            return code
    return 0


def _lightning_refused(error: Exception) -> bool:
    """Whether a ValueError is Lightning's own check of a setting, such as an unknown strategy."""
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, ValueError) and "lightning" in Path(last).parts


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)  # noqa: T201
    return 2
