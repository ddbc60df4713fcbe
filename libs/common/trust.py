"""Owns whom our HTTP clients trust: the authorities, read once a process."""

import functools
import ssl

import httpx


@functools.cache
def authorities() -> ssl.SSLContext:
    """For `verify` of every client; reading the list costs 40 ms of processor, which each client would spend anew."""
    return httpx.create_ssl_context(trust_env=False)
