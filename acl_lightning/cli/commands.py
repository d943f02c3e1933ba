"""Names of all commands and their one-line descriptions, and the module of every command that is not the Trainer's."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acl_lightning.cli.arguments import unknown_name

#: Commands that run the Lightning Trainer on a configuration -> description.
TRAINER_COMMANDS = {
    "fit": "train a model, sweep the exits of its best checkpoint, write a run",
    "validate": "measure a checkpoint on the validation set and sweep its exits",
    "test": "measure a checkpoint on the validation splits with all metrics",
    "predict": "write labels, confidences and exit layers of new samples to a file",
}

#: Example of each of these commands, for its help.
EXAMPLES = {
    "fit": "fit --config fit/glue.yaml --data.task=rte --run_dir=RUN --ckpt_path=auto",
    "validate": "validate --config RUN/config.yaml --run_dir=RUN --ckpt_path RUN/checkpoints/best.ckpt",
    "test": "test --config RUN/config.yaml --run_dir=OUT --ckpt_path RUN/checkpoints/best.ckpt",
    "predict": "predict --config RUN/config.yaml --run_dir=OUT --ckpt_path RUN/checkpoints/best.ckpt "
    "--exit.operating_point=drop1",
}

#: Option that prints every setting of these commands, with its type, default and meaning.
HELP_ALL = "--help_all"

#: Sections of the settings of these commands -> description, for the overview.
SECTIONS = {
    "--config": "YAML file with settings (repeatable; later files and options win)",
    "--run_dir": "directory that the run writes to",
    "--model.*": "encoder, exits, objective, gradient rule, optimization",
    "--data_module": "class of the data module: GLUEDataModule (default), TableDataModule or the path of a class",
    "--data.*": "task, source of the data, number of rows, batch size",
    "--trainer.*": "epochs, precision, devices, loggers, callbacks of Lightning's Trainer",
    "--exit_sweep.*": "criteria and budgets of the exit sweep after a validation",
    "--gradient_monitor.*": "how often gradients are compared and logged during training",
    "--best_checkpoint.*": "metric that selects the best checkpoint",
    "--last_checkpoint.*": "interval at which the checkpoint for resuming is written",
    "--exit.*": "criterion and threshold, or the operating point, of predict",
    "--ckpt_path": "checkpoint to start from: auto, last, best, hpc or a file",
    "--seed_everything": "seed of everything random",
}

#: Options of these commands that explain -> description.
EXPLANATIONS = {
    "--help": "this text",
    HELP_ALL: "every setting with its type, default and meaning; imports Lightning, which takes seconds",
    "--print_config": "the whole configuration with the values in force",
}


@dataclass(frozen=True)
class Command:
    """A command that is not the Trainer's.

    Attributes:
        module: Module with the function `main(arguments) -> int`. It is imported when the command is called. `main`
            parses the arguments before it imports torch.
        help: Description in a few words.
        commands: Commands of a group, whose names follow that of the group; None for a command. `main` of a group
            takes the arguments and the descriptions of its commands and returns the name of one.
    """

    module: str
    help: str
    commands: Mapping[str, Command] | None = None


#: Name -> command of the group `study`.
STUDY_COMMANDS: dict[str, Command] = {
    "run": Command("acl_lightning.cli.study.run", "run the trials of a sweep on this machine"),
    "status": Command("acl_lightning.cli.study.status", "state of the trials of a sweep"),
    "slurm": Command("acl_lightning.cli.study.slurm", "write an array script for SLURM"),
    "table": Command("acl_lightning.cli.study.table", "tables with paired tests, from the finished trials"),
    "report": Command("acl_lightning.cli.study.report", "a page with tables, figures and provenance"),
}

#: Name -> command.
COMMANDS: dict[str, Command] = {
    "points": Command("acl_lightning.cli.points", "select further operating points of a run, without the model"),
    "latency": Command("acl_lightning.cli.latency", "time the operating points of a run against the plain model"),
    "export": Command(
        "acl_lightning.cli.export", "write a run as a transformers model, or as an adaptive ONNX package"
    ),
    "score": Command("acl_lightning.cli.deploy.score", "label the rows of a file with an adaptive ONNX package"),
    "demo": Command("acl_lightning.cli.demo", "open a local page that classifies text and shows the exit layer"),
    "serve": Command("acl_lightning.cli.deploy.serve", "answer texts over HTTP with an ONNX package, without torch"),
    "collect": Command("acl_lightning.cli.collect", "tables and curves of several runs, from their results"),
    "curves": Command("acl_lightning.cli.curves", "speed-quality curves of several runs, from their stored logits"),
    "conflicts": Command("acl_lightning.cli.conflicts", "angles between the gradients of loss terms in several runs"),
    "embeddings": Command("acl_lightning.cli.embeddings", "measures and maps of the embeddings of several runs"),
    "study": Command(
        "acl_lightning.cli.study.dispatch", "run the trials of a W&B sweep, and show the results", STUDY_COMMANDS
    ),
}


def run(command: Command, arguments: Sequence[str]) -> int:
    """Call a command with the arguments after its name. Returns its exit code.

    Raises:
        UserError: A mistake of the user, see the command.
    """
    module = importlib.import_module(command.module)
    if command.commands is None:
        return int(module.main(list(arguments)))
    name = module.main(list(arguments), {name: inner.help for name, inner in command.commands.items()})
    return run(command.commands[name], arguments[1:])


def unknown(arguments: Sequence[str]) -> str | None:
    """Return the error message about the name of the command; None where the arguments begin with a known name.

    Args:
        arguments: Arguments of the program, without its own name.
    """
    names = [*TRAINER_COMMANDS, *COMMANDS]
    if arguments and (arguments[0] in names or arguments[0].startswith("-")):
        return None
    if not arguments:
        known = f"expected a command ({', '.join(names)})"
        return f"{known}; found none. Example: python -m acl_lightning fit --config conf/quickstart.yaml"
    return unknown_name(arguments[0], names)


def overview(epilog: str = "") -> str:
    """Return the text of `--help`: usage, every command with its description, sections of settings, an example."""
    parts = [
        "usage: acl_lightning COMMAND [OPTION ...]",
        "Aligned contrastive fine-tuning of multi-exit encoders.",
        _listed("commands that train or run a model, configured by YAML files and options", TRAINER_COMMANDS),
        _listed("commands that work on finished runs", {name: command.help for name, command in COMMANDS.items()}),
        _listed(f"options of fit, validate, test and predict (fit {HELP_ALL} lists all of them)", SECTIONS),
        "example:\n  python -m acl_lightning fit --config conf/quickstart.yaml --run_dir runs/first\n"
        "  python -m acl_lightning latency runs/first --operating_point drop1",
        "`acl_lightning COMMAND --help` explains the options of a command.",
        epilog,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def trainer_help(name: str) -> str:
    """Return the text of `NAME --help` of a command of the Trainer: sections of settings, and an example."""
    parts = [
        f"usage: acl_lightning {name} [--config FILE] [--SECTION.SETTING=VALUE ...]",
        f"{TRAINER_COMMANDS[name].capitalize()}.",
        _listed("sections of settings", SECTIONS),
        _listed("explanations", EXPLANATIONS),
        f"example:\n  python -m acl_lightning {EXAMPLES[name]}",
    ]
    return "\n\n".join(parts) + "\n"


def _listed(heading: str, descriptions: dict[str, str]) -> str:
    width = max(14, *map(len, descriptions))
    lines = [f"  {name:<{width}} {description}" for name, description in descriptions.items()]
    return "\n".join([f"{heading}:", *lines])
