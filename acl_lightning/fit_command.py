"""Whether a command line is `fit`. Imports nothing: `__main__` asks before the module search path is safe."""


def is_fit(arguments: list[str]) -> bool:
    """Whether the command is `fit`, the only command that takes code of the user from its configuration.

    Options may precede the name of the command. Where the value of an option may be the name instead, as in
    `--config fit validate`, the answer is no.

    Args:
        arguments: Arguments of the program, without its own name.
    """
    if not arguments or not arguments[0].startswith("-"):
        return arguments[:1] == ["fit"]
    return "fit" in arguments and not {"validate", "test", "predict"} & set(arguments)
