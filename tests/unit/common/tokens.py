"""Owns the tokens, keys and the identity provider that the tests of who is a user share."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from libs.common.errors import Problem
from libs.common.identity import Verifier
from libs.common.settings import IdentitySettings

SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
# providers.md §0.3
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEiLCJhdWQiOiJhdXRoZW50"
    "aWNhdGVkIiwicm9sZSI6ImF1dGhlbnRpY2F0ZWQiLCJleHAiOjQxMDI0NDQ4MDB9.RC_wt66ZewPqZaop-p3-JSTy7P_A1uTS4OLi4wOSM0I"
)
USER = uuid.UUID("8f1b0c9e-0000-4000-8000-000000000001")
PROJECT = "https://abcd.supabase.co"
ISSUER = f"{PROJECT}/auth/v1"
JWKS_URL = f"{ISSUER}/.well-known/jwks.json"

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_PEM = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str, **changed: object) -> dict[str, object]:
    if isinstance(key, rsa.RSAPrivateKey):
        public: dict[str, object] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    else:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    public.pop("key_ops", None)
    return public | {"kid": kid, "use": "sig", "key_ops": ["verify"]} | changed


class Project:
    """The identity provider: a key set that may change or be away, and a clock of its own."""

    def __init__(self, *keys: dict[str, object]) -> None:
        self.keys = list(keys)
        self.away = False
        self.asked: list[str] = []
        self.now = 1000.0

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.away:
            raise ConnectionRefusedError("away")
        return json.dumps({"keys": self.keys}).encode()

    def clock(self) -> float:
        return self.now


def verifier_of(project: Project | None = None, *, secret: str = SECRET, **settings: object) -> Verifier:
    values: dict[str, Any] = {"supabase_jwt_secret": SecretStr(secret), **settings}
    if project is None:
        return Verifier.from_settings(IdentitySettings(**values))
    values["supabase_url"] = PROJECT + "/"
    return Verifier.from_settings(IdentitySettings(**values), fetch=project.fetch, clock=project.clock)


def claims(**changed: object) -> dict[str, object]:
    now = int(time.time())
    claims: dict[str, object] = {"sub": str(USER), "aud": "authenticated", "role": "authenticated"}
    claims |= {"iss": ISSUER, "iat": now, "exp": now + 36_000} | changed
    return {name: value for name, value in claims.items() if value is not ...}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: Mapping[str, object], claims: Mapping[str, object] | bytes, secret: bytes) -> str:
    """Sign what no honest library would."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def hs(secret: str = SECRET, header: Mapping[str, object] | None = None, **changed: object) -> str:
    return by_hand({"alg": "HS256", "typ": "JWT"} | dict(header or {}), claims(**changed), secret.encode())


def rs(key: rsa.RSAPrivateKey = RSA_KEY, kid: str | None = "r1", **changed: object) -> str:
    return jwt.encode(claims(**changed), key, algorithm="RS256", headers={"kid": kid} if kid else None)


def es(kid: str = "e1", **changed: object) -> str:
    return jwt.encode(claims(**changed), EC_KEY, algorithm="ES256", headers={"kid": kid})


async def code(verifier: Verifier, token: str | None) -> str:
    with pytest.raises(Problem) as refused:
        await verifier.identify(token if token is None or " " in token else f"Bearer {token}")
    assert refused.value.status == 401
    assert refused.value.headers["www-authenticate"] == "Bearer"
    return refused.value.code
