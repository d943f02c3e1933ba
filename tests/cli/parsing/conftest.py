"""A parser of whole commands that stops before anything is built."""

import pytest


@pytest.fixture
def parse(command, monkeypatch):
    """Parse `fit ARGUMENTS`: `parse("--data.task=rte") -> settings`, or the error message of a refused command."""
    from acl_lightning.cli.trainer import CommandLine

    class ParsedError(BaseException):
        pass

    def stop(self):
        raise ParsedError(self.config.fit)

    monkeypatch.setattr(CommandLine, "before_instantiate_classes", stop)

    def run(*arguments):
        try:
            code, error = command("fit", *arguments, defaults=False)
        except ParsedError as parsed:
            return parsed.args[0]
        assert code == 2
        assert len(error.strip().splitlines()) == 1, error
        return error

    return run
