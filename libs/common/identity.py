"""Owns who a caller is: a Supabase-style JWT becomes an `Identity`, or the request ends in a 401."""

import hmac
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import jwt

from libs.common import logs
from libs.common.errors import Problem, SettingError
from libs.common.jwks import Clock, Fetch, KeySet, fetch_bounded
from libs.common.log_events import LogEvent

if TYPE_CHECKING:
    from libs.common.settings import IdentitySettings

AUDIENCE = "authenticated"
ROLE = "authenticated"
ROLES = frozenset({"operator", "clinician", "partner"})  # beyond a listener; others in a token mean nothing here
LEEWAY_S = 30  # clocks differ (J2)
MIN_SECRET_BYTES = 32  # RFC 7518 §3.2
DEFAULT_TENANT = "default"

_API_ROLES = ("anon", "service_role")  # no set: a token's role may be what has no hash
_ASYMMETRIC = frozenset({"RS256", "ES256"})
# Ways to bring one's own key or rule; no issuer of ours uses them.
_REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"})
_MAX_TOKEN_CHARS = 8192
_KEY_ID = re.compile(r"[A-Za-z0-9._:=-]{1,128}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What PyJWT lets through from a hostile token instead of one of its own errors.
_DECODE_ERRORS = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)

_log = logs.get_logger()


@dataclass(frozen=True)
class Identity:
    """A verified user; anonymous sign-ins are users too, with an id of their own."""

    user_id: uuid.UUID
    tenant: str = DEFAULT_TENANT
    roles: frozenset[str] = frozenset()


class Verifier:
    """Verifies bearers with HS256 secrets, a JWKS, or both; the algorithm decides which, not the token's hints."""

    def __init__(
        self,
        *,
        secrets: Sequence[bytes] = (),
        keys: KeySet | None = None,
        issuer: str | None = None,
        api_keys: Sequence[str] = (),
    ) -> None:
        if not secrets and keys is None:
            raise SettingError("SUPABASE_JWT_SECRET or SUPABASE_URL: expected at least one, found none")
        if keys is not None and issuer is None:
            raise ValueError("issuer: expected one with a JWKS, found none")
        if any(len(secret) < MIN_SECRET_BYTES for secret in secrets):
            raise SettingError(f"SUPABASE_JWT_SECRET: expected at least {MIN_SECRET_BYTES} bytes each, found fewer")
        self._secrets = tuple(secrets)
        self._keys = keys
        self._issuer = issuer
        self._api_keys = tuple(key.encode() for key in api_keys)

    @classmethod
    def from_settings(
        cls, settings: "IdentitySettings", *, fetch: Fetch = fetch_bounded, clock: Clock = time.monotonic
    ) -> "Verifier":
        """Build from the environment; issuer and JWKS address are derived from `SUPABASE_URL` alone."""
        secrets = settings.supabase_jwt_secret.get_secret_value().split(",")
        api_keys = (settings.supabase_anon_key, settings.supabase_service_role_key)
        issuer = f"{settings.supabase_url}/auth/v1" if settings.supabase_url else None
        return cls(
            secrets=[secret.strip().encode() for secret in secrets if secret.strip()],
            keys=KeySet(f"{issuer}/.well-known/jwks.json", fetch=fetch, clock=clock) if issuer else None,
            issuer=issuer,
            api_keys=[key.get_secret_value() for key in api_keys if key.get_secret_value()],
        )

    async def identify(self, authorization: str | None) -> Identity:
        """Return the user of an `Authorization` header.

        Raises a 401 problem: `unauthenticated` (no bearer, or the project's anon or service key), `token_expired`
        (ours, but too old), `token_invalid` (anything else); 503 `identity_unavailable` while no public keys are known.
        """
        scheme, _, token = (authorization or "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or self._is_api_key(token):
            raise _refused("unauthenticated", "no_user")
        if len(token) > _MAX_TOKEN_CHARS or not token.isascii():
            raise _refused("token_invalid", "malformed")
        claims = await self._verified_claims(token)
        if claims.get("role") in _API_ROLES:
            raise _refused("unauthenticated", "api_key")
        return _identity(claims)

    async def identify_or_none(self, authorization: str | None) -> Identity | None:
        """Return the user, or `None` where there is none (an anon or service key is none); raise for a bad token."""
        try:
            return await self.identify(authorization)
        except Problem as problem:
            if problem.code == "unauthenticated":
                return None
            raise

    def _is_api_key(self, token: str) -> bool:
        offered = token.encode("utf-8", "replace")
        return any([hmac.compare_digest(offered, key) for key in self._api_keys])  # noqa: C419 - all are compared

    async def _verified_claims(self, token: str) -> Mapping[str, object]:
        try:
            header = jwt.get_unverified_header(token)
        except _DECODE_ERRORS:
            raise _refused("token_invalid", "malformed") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if _REFUSED_HEADERS & header.keys() or not isinstance(algorithm, str):
            raise _refused("token_invalid", "header")
        if key_id is not None and not (isinstance(key_id, str) and _KEY_ID.fullmatch(key_id)):
            raise _refused("token_invalid", "kid")
        if algorithm == "HS256":
            return self._decode_any(token, algorithm, self._secrets)
        if algorithm in _ASYMMETRIC and self._keys is not None and key_id is not None:
            key = await self._keys.find(key_id, algorithm)
            return self._decode_any(token, algorithm, () if key is None else (key,))
        raise _refused("token_invalid", "algorithm")

    def _decode_any(self, token: str, algorithm: str, keys: Sequence[bytes | jwt.PyJWK]) -> Mapping[str, object]:
        for key in keys:
            try:
                return self._decode(token, algorithm, key)
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                raise _refused("token_expired", "expired") from None
            except jwt.MissingRequiredClaimError as error:
                return _api_claims(token, algorithm, key, str(error.claim))
            except _DECODE_ERRORS as error:
                raise _refused("token_invalid", type(error).__name__) from None
        raise _refused("token_invalid", "signature")

    def _decode(self, token: str, algorithm: str, key: bytes | jwt.PyJWK) -> dict[str, object]:
        required = ["exp", "sub", "aud"] + (["iss"] if self._issuer else [])
        return cast(
            "dict[str, object]",
            jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": required, "verify_iss": self._issuer is not None},
            ),
        )


def issue(
    secret: str, user_id: uuid.UUID, roles: Sequence[str] = (), seconds: int = 3600, issuer: str | None = None
) -> str:
    """Issue a user's token with the first secret of the list; for the embedded stack and tests alone."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": str(user_id),
        "aud": AUDIENCE,
        "role": ROLE,
        "iat": now,
        "exp": now + seconds,
        "app_metadata": {"roles": list(roles)},
    }
    if issuer is not None:
        claims["iss"] = issuer
    return jwt.encode(claims, secret.split(",", maxsplit=1)[0].strip().encode(), algorithm="HS256")


def _api_claims(token: str, algorithm: str, key: bytes | jwt.PyJWK, missing: str) -> Mapping[str, object]:
    """Return the claims of an anon or service key, which lack `sub` and `aud`; any other token is refused."""
    try:
        options = {"require": ["exp"], "verify_aud": False, "verify_iss": False}
        claims = jwt.decode(token, key, algorithms=[algorithm], leeway=LEEWAY_S, options=cast("Any", options))
    except _DECODE_ERRORS:
        raise _refused("token_invalid", missing) from None
    if claims.get("role") not in _API_ROLES:
        raise _refused("token_invalid", missing)
    return claims


def _identity(claims: Mapping[str, object]) -> Identity:
    if isinstance(claims["exp"], bool | str) or claims.get("role") != ROLE:
        raise _refused("token_invalid", "role")
    subject = claims["sub"]
    if not isinstance(subject, str) or not _UUID.fullmatch(subject):
        raise _refused("token_invalid", "sub")
    # user_metadata is the user's own to edit and decides nothing (providers.md §9)
    metadata = claims.get("app_metadata") or {}
    if not isinstance(metadata, Mapping):
        raise _refused("token_invalid", "app_metadata")
    tenant = metadata.get("tenant", DEFAULT_TENANT)
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise _refused("token_invalid", "tenant")  # falling back would put one tenant's user into another
    roles = metadata.get("roles", [])
    known = (
        frozenset(role for role in roles if isinstance(role, str)) & ROLES if isinstance(roles, list) else frozenset()
    )
    return Identity(uuid.UUID(subject), tenant, known)


def _refused(code: str, reason: str) -> Problem:
    """Return the 401; its reason goes to the log alone, so that an attacker learns nothing from it."""
    _log.info(LogEvent.BEARER_REFUSED, code=code, reason=reason)
    return Problem(401, code, "A valid bearer token is needed", headers={"www-authenticate": "Bearer"})
