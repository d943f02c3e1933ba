"""Identity of a trial: a hash of everything that determines its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache

from acl_lightning.config_files import configuration_files
from acl_lightning.studies.trials.command import arguments_of_fit, named_configurations, split_configurations
from acl_lightning.studies.trials.values import Parameters

#: Hex digits of an identity.
DIGITS = 16

#: Beginning of every command that runs `fit`, for the identity.
FIT = ("${env}", "python", "-m", "acl_lightning", "fit")


def trial_id(command: Sequence[str], parameters: Parameters) -> str:
    """Return the identity of a trial: 16 hex digits of the SHA-256 of its canonical JSON.

    It covers the parameters, the content (not the place) of all configuration files that the command and the parameter
    `config` name, with the files that they include, and the other items of the command. It does not depend on how a
    command starts `fit`, nor on machine paths that a file takes from the environment (`${oc.env:...}`).

    Args:
        command: Items of the sweep's command, with macros.
        parameters: Parameters of the trial.

    Raises:
        UserError: A configuration file does not exist or cannot be read.
    """
    arguments = arguments_of_fit(command)
    files, others = split_configurations(command if arguments is None else [*FIT, *arguments])
    contents = [_contents(name) for name in (*files, *named_configurations(parameters))]
    canonical = _canonical({"parameters": dict(parameters), "configurations": contents, "command": others})
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGITS]


@cache
def _contents(name: str) -> str:
    """Return the contents of a configuration file and of those that it includes, as canonical JSON."""
    return _canonical([file.source if file.content is None else file.content for file in configuration_files(name)])


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
