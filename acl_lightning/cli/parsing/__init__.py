"""Parser of the Trainer's commands: values, list items, configuration files and messages."""

from acl_lightning.cli.parsing.messages import in_one_line, nearest, user_error_behind
from acl_lightning.cli.parsing.parser import Parser

__all__ = ["Parser", "in_one_line", "nearest", "user_error_behind"]
