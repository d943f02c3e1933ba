"""Parser of the Trainer's commands: values of W&B agents, items of lists, shipped configurations, short messages."""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]
from lightning.pytorch.cli import LightningArgumentParser

from acl_lightning.cli.parsing.config_files import find_configuration, keys_of
from acl_lightning.cli.parsing.list_items import ListItemAction, merge_indexed, takes_a_list
from acl_lightning.cli.parsing.messages import explain, in_one_line, linked_setting, user_error_behind
from acl_lightning.cli.parsing.values import fit_to_type
from acl_lightning.errors import UserError
from acl_lightning.legacy import present_names
from acl_lightning.runs.trust import refusal


class Parser(LightningArgumentParser):
    """Parser of a command and of the arguments of every class in it.

    jsonargparse creates its inner parsers with the same class. Every value passes `_get_values` (command line) or
    `_check_value_key` (configuration file) of the parser that knows its exact type, where `fit_to_type` is applied.
    """

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
        if not isinstance(value, str):
            return value
        if isinstance(action, ActionConfigFile):
            return self._configuration(value)
        return fit_to_type(value, getattr(action, "_typehint", Any))

    def _configuration(self, text: str) -> str:
        """Return the path of a configuration file. It must be readable and set no setting that follows from another."""
        try:
            path, content = find_configuration(text)
        except UserError as error:
            self.error(str(error), error)
        keys = set(keys_of(content))
        for action in self._actions:
            if _is_link(action) and action.dest in keys:
                self.error(linked_setting(self, _sources(action), action.dest))
        present, renamed = present_names(content) if isinstance(content, dict) else (content, [])
        if not renamed:
            return path
        warnings.warn(f"{path} uses names of an earlier version: {'; '.join(renamed)}", stacklevel=2)
        return yaml.safe_dump(present, sort_keys=False)

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
