"""Parser of the Trainer's commands: values of W&B agents, items of lists, shipped configurations, short messages."""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]
from lightning.pytorch.cli import LightningArgumentParser

from acl_lightning.cli.parsing.list_items import ListItemAction, merge_indexed, takes_a_list
from acl_lightning.cli.parsing.messages import explain, in_one_line, linked_setting, user_error_behind
from acl_lightning.cli.parsing.values import fit_to_type
from acl_lightning.config_files import ConfigurationFile, configuration_files, keys_of
from acl_lightning.errors import UserError
from acl_lightning.legacy import present_names
from acl_lightning.runs.trust import refusal


class Parser(LightningArgumentParser):
    """Parser of a command and of the arguments of every class in it.

    jsonargparse creates its inner parsers with the same class. Every value passes `_get_values` (command line) or
    `_check_value_key` (configuration file) of the parser that knows its exact type, where `fit_to_type` is applied.
    """

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        """Add an option; `--config` gets the action that reads included files."""
        if kwargs.get("action") is ActionConfigFile:
            kwargs["action"] = ConfigurationAction
        return super().add_argument(*args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Exit with code 2 after one line, or raise where an outer parser relies on an exception."""
        if not self.exit_on_error:
            super().error(explain(self, message), ex)
        behind = refusal(message) or user_error_behind(ex)
        line = str(behind) if behind else in_one_line(explain(self, message))
        print(f"error: {line}", file=sys.stderr)  # noqa: T201
        sys.exit(2)

    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]
        """Parse a command line.

        A file named as the value of a whole section, such as `--data=FILE`, must be text in UTF-8.
        """
        try:
            return super().parse_args(*args, **kwargs)
        except UnicodeDecodeError as error:
            place = f"byte {error.start} that is not UTF-8"
            self.error(str(UserError("configuration files in UTF-8", place, "Use files in YAML or JSON.")), error)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Return the value of an option of the command line."""
        if _is_link(action):
            self.error(linked_setting(self, _sources(action), action.dest))
        value = super()._get_values(action, arg_strings)
        if not isinstance(value, str) or isinstance(action, ActionConfigFile):
            return value
        return fit_to_type(value, getattr(action, "_typehint", Any))

    def configurations(self, text: str) -> list[tuple[str, str]]:
        """Return the configurations that an option `--config` stands for, in the order in which they apply.

        They must be readable and set no setting that follows from another.

        Args:
            text: Value of the option.

        Returns:
            For each configuration its source, and what jsonargparse reads: the path of a file, or a text.
        """
        try:
            files = configuration_files(text)
        except UserError as error:
            self.error(str(error), error)
        for file in files:
            keys = set(keys_of(file.content))
            for action in self._actions:
                if _is_link(action) and action.dest in keys:
                    self.error(linked_setting(self, _sources(action), action.dest))
        return [(file.source, _readable(file)) for file in files]

    def _parse_optional(self, arg_string: str) -> Any:
        """Return the action of an option; below a list, such as `--trainer.callbacks.0.monitor`, it changes an item."""
        option = super()._parse_optional(arg_string)  # type: ignore[no-untyped-call]
        if isinstance(option, list):  # newer versions of argparse
            return [(_for_list_item(*item[:2]), *item[1:]) for item in option]
        return option if option is None else (_for_list_item(*option[:2]), *option[1:])

    def _check_value_key(
        self, action: argparse.Action, value: Any, key: str, cfg: Namespace | None, append: bool = False
    ) -> Any:
        """Return the checked value of a key of a configuration file."""
        typehint = getattr(action, "_typehint", None)
        if typehint is not None and not append:
            current = None if cfg is None else cfg.get(action.dest)

            def check(items: Any, before: Namespace) -> Any:
                return super(Parser, self)._check_value_key(action, items, key, before)

            merged = merge_indexed(value, action.dest, current, check, typehint)
            value = fit_to_type(value, typehint) if merged is None else merged
        return super()._check_value_key(action, value, key, cfg, append)


class ConfigurationAction(ActionConfigFile):
    """Option `--config`: applies a configuration file after the files that its key `config` names."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Apply the files to `namespace`, and list their sources in it."""
        assert isinstance(parser, Parser)
        for source, text in parser.configurations(str(values)):
            self.apply_config(parser, namespace, self.dest, text)
            if text != source:
                namespace[self.dest][-1] = source  # type: ignore[index]


def _readable(file: ConfigurationFile) -> str:
    """Return the path of a configuration; its text, with current names, where the file itself cannot be read."""
    if file.content is None:
        return file.source
    present, renamed = present_names(file.content)
    if renamed:
        warnings.warn(f"{file.source} uses names of an earlier version: {'; '.join(renamed)}", stacklevel=2)
    return file.source if file.complete and not renamed else yaml.safe_dump(present, sort_keys=False)


def _is_link(action: argparse.Action) -> bool:
    """Return whether an action is for a setting that follows from another setting (jsonargparse's ActionLink)."""
    return hasattr(action, "compute_fn") and hasattr(action, "source")


def _sources(action: argparse.Action) -> str:
    return ", ".join(source[0] for source in action.source)  # type: ignore[attr-defined]


def _for_list_item(action: argparse.Action | None, option: str) -> argparse.Action | None:
    typehint = getattr(action, "_typehint", None)
    if action is None or typehint is None or option in action.option_strings or not takes_a_list(typehint):
        return action
    return ListItemAction(action)
