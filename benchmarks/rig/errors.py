"""Owns the one error of the rig: what is missing here, and what to type."""


class RigError(Exception):
    """A benchmark cannot run as it is; the text says what to type."""
