"""Owns the voices that may speak a line: a program on this machine, or a service asked over its own API."""
