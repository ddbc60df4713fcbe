"""Derives keys of one purpose each from the secret that the services share (HKDF-SHA256, RFC 5869)."""

import hashlib
import hmac
from typing import Final, Literal

Purpose = Literal["plan_hash", "request_body"]

_SALT: Final = b"parcours create v1"


def derive_key(secret: bytes, purpose: Purpose) -> bytes:
    """32 bytes that tell nothing of the secret nor of another purpose's key. An empty secret raises `ValueError`.

    With an empty one anybody could try the 41 labels against a stored hash.
    """
    if not secret:
        raise ValueError("INTERNAL_SECRET: expected a secret, found none")
    extracted = hmac.digest(_SALT, secret, hashlib.sha256)
    return hmac.digest(extracted, purpose.encode() + b"\x01", hashlib.sha256)
