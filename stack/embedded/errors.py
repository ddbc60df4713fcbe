"""Owns the one failure of the embedded servers: something that cannot start, with what to do about it."""


class EmbeddedError(RuntimeError):
    """A server cannot run here; the text says what was found and the command that helps."""
