"""What the `parcours` command tells a person when it cannot go on."""


class StackError(Exception):
    """Its text says what was expected, what was found and what to type; the command prints it and ends with 1."""
