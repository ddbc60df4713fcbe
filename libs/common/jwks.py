"""Owns the identity provider's public keys: fetched from the configured address alone, distrusted when too old."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from libs.common import logs
from libs.common.errors import Problem
from libs.common.log_events import LogEvent

Fetch = Callable[[str], Awaitable[bytes]]
"""Returns the body of a 200 answer from this address, raises otherwise."""
Clock = Callable[[], float]

FRESH_S = 600.0  # Supabase sends max-age=600 (providers.md §9)
COOL_DOWN_S = 60.0  # at most one request a minute, also for unknown key ids (J2)
STALE_BOUND_S = 7200.0  # outlives every token issued before an outage (1 h by default), then fail closed (J2)
MIN_RSA_BITS = 2048  # NIST SP 800-57
_MAX_BYTES = 64 * 1024  # a key set has a few hundred bytes
_TIMEOUT_S = 3.0

_log = logs.get_logger()


async def fetch_bounded(url: str) -> bytes:
    """Fetch a small document; a redirect is refused, since the address is the trust."""
    import httpx  # noqa: PLC0415 - where keys are shared secrets, nothing is ever fetched

    from libs.common.trust import authorities  # noqa: PLC0415

    async with httpx.AsyncClient(
        timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False, verify=authorities()
    ) as client:
        response = await client.get(url)
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"key set: expected status 200, found {response.status_code}")
        if len(response.content) > _MAX_BYTES:
            raise ValueError(f"key set: expected at most {_MAX_BYTES} bytes, found {len(response.content)}")
        return response.content


class KeySet:
    """Finds a public key by id and algorithm; one request at a time and at most one a minute."""

    def __init__(self, url: str, *, fetch: Fetch = fetch_bounded, clock: Clock = time.monotonic) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[tuple[str, str], jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def find(self, key_id: str, algorithm: str) -> jwt.PyJWK | None:
        """Return the key, or `None` when the provider does not know it.

        Raises a 503 problem when what we hold is older than the bound: nobody is let in on keys that may be revoked.
        """
        wanted = (key_id, algorithm)
        if wanted not in self._keys or self._age() > FRESH_S:
            await self._refresh()
        if self._age() > STALE_BOUND_S:
            raise Problem(
                503, "identity_unavailable", "Identities cannot be verified now", headers={"retry-after": "60"}
            )
        return self._keys.get(wanted)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    async def _refresh(self) -> None:
        async with self._asking:
            if self._clock() - self._asked_at < COOL_DOWN_S:
                return
            self._asked_at = self._clock()
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    self._keys = parse(await self._fetch(self._url))
            except Exception as error:  # noqa: BLE001 - whatever went wrong, the keys we hold serve up to their bound
                age = min(self._age(), 10 * STALE_BOUND_S)  # infinity is no JSON
                _log.warning(LogEvent.JWKS_REFRESH_FAILED, age_seconds=round(age), error=logs.describe_error(error))
                return
            self._fetched_at = self._clock()


def parse(document: bytes) -> dict[tuple[str, str], jwt.PyJWK]:
    """Read a key set into `{(kid, alg): key}`; keys of no use here are left out, no keys at all is no error (HS256)."""
    keys = json.loads(document)["keys"]
    if not isinstance(keys, list):
        raise TypeError("key set: expected a list of keys")
    found = (_usable(key) for key in keys if isinstance(key, dict))
    return {key: value for key, value in found if value is not None}


def _usable(key: dict[str, object]) -> tuple[tuple[str, str], jwt.PyJWK | None]:
    """Tie a key to the one algorithm of its type, so that a public key never serves as an HMAC secret (J1)."""
    algorithm = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}.get((str(key.get("kty")), _curve(key)))
    key_id = key.get("kid")
    unused = ("", ""), None
    if algorithm is None or not isinstance(key_id, str) or key.get("use", "sig") != "sig":
        return unused
    if key.get("alg", algorithm) != algorithm:
        return unused
    try:
        usable = jwt.PyJWK(key, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return unused
    if isinstance(usable.key, RSAPublicKey) and usable.key.key_size < MIN_RSA_BITS:
        return unused
    return (key_id, algorithm), usable


def _curve(key: dict[str, object]) -> str | None:
    curve = key.get("crv")
    return curve if isinstance(curve, str) else None
