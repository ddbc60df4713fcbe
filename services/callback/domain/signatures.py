"""Whose signature a webhook bears (`providers.md` §0.2): pure checks over headers, raw body, keys and the time."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FAL: Final = "fal"
REPLICATE: Final = "replicate"
KIE: Final = "suno"  # kie.ai is one more address of this provider
ALWAYS_SIGNED: Final = frozenset({FAL, REPLICATE})

KEYS_LIMIT: Final = 8  # fal has one key or, while it rotates, two; each costs a check of every webhook
ENTRIES_LIMIT: Final = 8  # of Replicate's list
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how Replicate's secrets begin

_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_HEX_SIGNATURE: Final = re.compile(r"[0-9a-fA-F]{128}")

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Keys:
    """With what webhooks are checked; `kie` empty: kie.ai's signature is not asked for."""

    fal: tuple[Ed25519PublicKey, ...] = ()
    replicate: tuple[bytes, ...] = ()
    kie: bytes = b""

    def demanded_of(self, provider: str) -> bool:
        """Whether a webhook for an attempt at this provider must be signed."""
        return provider in ALWAYS_SIGNED or (provider == KIE and bool(self.kie))

    def known_of(self, provider: str) -> bool:
        """Whether there is anything to check this provider's signature with."""
        return bool({FAL: self.fal, REPLICATE: self.replicate, KIE: self.kie}.get(provider))


def is_signed(headers: Headers) -> bool:
    """Whether somebody claims to have signed."""
    return any(name in headers for name in (b"x-fal-webhook-signature", b"webhook-signature", b"x-webhook-signature"))


def signers(
    headers: Headers, raw: bytes, task_id: str | None, keys: Keys, *, now: float, tolerance: float
) -> frozenset[str]:
    """The providers whose signature over these bytes holds and is at most `tolerance` seconds old or early."""
    found = set()
    if _by_fal(headers, raw, keys.fal, now, tolerance):
        found.add(FAL)
    if _by_replicate(headers, raw, keys.replicate, now, tolerance):
        found.add(REPLICATE)
    if keys.kie and task_id is not None and _by_kie(headers, task_id, keys.kie, now, tolerance):
        found.add(KIE)
    return frozenset(found)


def fal_key(text: str) -> Ed25519PublicKey | None:
    """One JWK; `None` when it is no Ed25519 key."""
    try:
        jwk: Any = orjson.loads(text)
        if not isinstance(jwk, dict) or (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519"):
            return None
        point = str(jwk["x"])
        raw = base64.b64decode(point + "=" * (-len(point) % 4), altchars=b"-_", validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, KeyError):  # base64's and JSON's errors are ValueErrors
        return None


def replicate_secret(text: str) -> bytes | None:
    """What follows `whsec_`, decoded; `None` when it is none."""
    try:
        return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True) or None
    except ValueError:
        return None


def _by_fal(headers: Headers, raw: bytes, keys: Sequence[Ed25519PublicKey], now: float, tolerance: float) -> bool:
    names = (b"request-id", b"user-id", b"timestamp", b"signature")
    request_id, user_id, at, signature = (_text(headers, b"x-fal-webhook-" + name) for name in names)
    if not _HEX_SIGNATURE.fullmatch(signature) or not _is_fresh(at, now, tolerance):
        return False
    message = "\n".join((request_id, user_id, at, hashlib.sha256(raw).hexdigest())).encode("latin-1")
    signed = bytes.fromhex(signature)
    return any(_verifies(key, signed, message) for key in keys[:KEYS_LIMIT])  # no header names the one that signed


def _verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _by_replicate(headers: Headers, raw: bytes, secrets: Sequence[bytes], now: float, tolerance: float) -> bool:
    message_id, at = _text(headers, b"webhook-id"), _text(headers, b"webhook-timestamp")
    if not message_id or not _is_fresh(at, now, tolerance):
        return False
    message = f"{message_id}.{at}.".encode("latin-1") + raw
    expected = [hmac.digest(secret, message, "sha256") for secret in secrets[:KEYS_LIMIT]]
    offered = list(_offered(_text(headers, b"webhook-signature")))
    return sum(hmac.compare_digest(ours, theirs) for ours in expected for theirs in offered) > 0


def _offered(header: str) -> Iterator[bytes]:
    """The signatures of version 1; while a secret is rotated there are two."""
    for entry in header.split(" ")[:ENTRIES_LIMIT]:
        version, _, encoded = entry.partition(",")
        if version == "v1" and (decoded := _decoded(encoded)) is not None:
            yield decoded


def _by_kie(headers: Headers, task_id: str, key: bytes, now: float, tolerance: float) -> bool:
    """It covers no byte of the body but the task's id: what the body claims is asked for again (W3, W4)."""
    at, offered = _text(headers, b"x-webhook-timestamp"), _decoded(_text(headers, b"x-webhook-signature"))
    if offered is None or not _is_fresh(at, now, tolerance):
        return False
    return hmac.compare_digest(hmac.digest(key, f"{task_id}.{at}".encode(), "sha256"), offered)


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _is_fresh(at: str, now: float, tolerance: float) -> bool:
    return _SECONDS.fullmatch(at) is not None and abs(now - int(at)) <= tolerance


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None
