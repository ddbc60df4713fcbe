"""Owns the claims J1–J3: who is a user, shown with real keys, the known vector and a hostile set."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.warnings import InsecureKeyLengthWarning
from pydantic import SecretStr

from libs.common.errors import Problem
from libs.common.identity import Identity, Verifier, issue
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


def _jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str, **changed: object) -> dict[str, object]:
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


def _verifier(project: Project | None = None, *, secret: str = SECRET, **settings: object) -> Verifier:
    values: dict[str, Any] = {"supabase_jwt_secret": SecretStr(secret), **settings}
    if project is None:
        return Verifier.from_settings(IdentitySettings(**values))
    values["supabase_url"] = PROJECT + "/"
    return Verifier.from_settings(IdentitySettings(**values), fetch=project.fetch, clock=project.clock)


def _claims(**changed: object) -> dict[str, object]:
    now = int(time.time())
    claims: dict[str, object] = {"sub": str(USER), "aud": "authenticated", "role": "authenticated"}
    claims |= {"iss": ISSUER, "iat": now, "exp": now + 36_000} | changed
    return {name: value for name, value in claims.items() if value is not ...}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _by_hand(header: Mapping[str, object], claims: Mapping[str, object] | bytes, secret: bytes) -> str:
    """Sign what no honest library would."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{_b64(json.dumps(header).encode())}.{_b64(payload)}"
    return f"{signed}.{_b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _hs(secret: str = SECRET, header: Mapping[str, object] | None = None, **changed: object) -> str:
    return _by_hand({"alg": "HS256", "typ": "JWT"} | dict(header or {}), _claims(**changed), secret.encode())


def _rs(key: rsa.RSAPrivateKey = RSA_KEY, kid: str | None = "r1", **changed: object) -> str:
    return jwt.encode(_claims(**changed), key, algorithm="RS256", headers={"kid": kid} if kid else None)


def _es(kid: str = "e1", **changed: object) -> str:
    return jwt.encode(_claims(**changed), EC_KEY, algorithm="ES256", headers={"kid": kid})


async def _code(verifier: Verifier, token: str | None) -> str:
    with pytest.raises(Problem) as refused:
        await verifier.identify(token if token is None or " " in token else f"Bearer {token}")
    assert refused.value.status == 401
    assert refused.value.headers["www-authenticate"] == "Bearer"
    return refused.value.code


# --- who is a user ---


async def test_the_known_vector_is_its_user() -> None:
    identity = await _verifier().identify(f"Bearer {VECTOR}")
    assert identity == Identity(uuid.UUID("00000000-0000-4000-8000-000000000001"))


async def test_a_token_we_issue_is_accepted_with_its_roles() -> None:
    token = issue(SECRET, USER, ["operator", "unheard-of"], 60)
    assert await _verifier().identify(f"Bearer {token}") == Identity(USER, "default", frozenset({"operator"}))


@pytest.mark.parametrize(
    "token", [_hs(), _rs(), _es(), _hs(aud=["else", "authenticated"]), _hs(header={"kid": "old-1"})]
)
async def test_each_kind_of_good_token_is_accepted(token: str) -> None:
    project = Project(_jwk(RSA_KEY, "r1"), _jwk(EC_KEY, "e1"))
    assert (await _verifier(project).identify(f"Bearer {token}")).user_id == USER
    assert set(project.asked) <= {JWKS_URL}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_is_read_without_case(scheme: str) -> None:
    assert (await _verifier().identify(f"{scheme} {_hs()}")).user_id == USER


async def test_tenant_and_roles_come_from_app_metadata_alone() -> None:
    token = _hs(
        app_metadata={"tenant": "clinic-7", "roles": ["clinician", "root", 7]},
        user_metadata={"tenant": "other", "roles": ["operator"]},
        roles=["operator"],
    )
    assert await _verifier().identify(f"Bearer {token}") == Identity(USER, "clinic-7", frozenset({"clinician"}))


async def test_clocks_may_differ_by_thirty_seconds() -> None:
    now = int(time.time())
    for token in (_hs(exp=now - 20), _hs(iat=now + 20), _hs(nbf=now + 20)):
        assert (await _verifier().identify(f"Bearer {token}")).user_id == USER


async def test_all_secrets_verify_while_one_is_rotated_and_the_first_signs() -> None:
    new = "n" * 40
    both = _verifier(secret=f"{new}, {SECRET}")
    for token in (_hs(), _hs(new), issue(f"{new},{SECRET}", USER)):
        assert (await both.identify(f"Bearer {token}")).user_id == USER
    assert (await _verifier(secret=new).identify(f"Bearer {issue(f'{new},{SECRET}', USER)}")).user_id == USER
    assert await _code(_verifier(secret=new), _hs()) == "token_invalid"


# --- who is not ---

NOW = int(time.time())
HOSTILE: dict[str, Callable[[], str]] = {
    "alg none": lambda: _b64(b'{"alg":"none"}') + "." + _b64(json.dumps(_claims()).encode()) + ".",
    "alg None": lambda: _by_hand({"alg": "None"}, _claims(), b""),
    "no alg": lambda: _by_hand({"typ": "JWT"}, _claims(), SECRET.encode()),
    "alg as list": lambda: _by_hand({"alg": ["HS256"]}, _claims(), SECRET.encode()),
    "alg HS512": lambda: jwt.encode(_claims(), SECRET * 2, algorithm="HS512"),
    "alg RS512": lambda: jwt.encode(_claims(), RSA_KEY, algorithm="RS512", headers={"kid": "r1"}),
    "alg EdDSA": lambda: _by_hand({"alg": "EdDSA", "kid": "r1"}, _claims(), SECRET.encode()),
    "public key as HMAC secret": lambda: _by_hand({"alg": "HS256", "kid": "r1"}, _claims(), RSA_PEM),
    "modulus as HMAC secret": lambda: _by_hand({"alg": "HS256"}, _claims(), str(_jwk(RSA_KEY, "r1")["n"]).encode()),
    "RS256 says, HMAC signs": lambda: _by_hand({"alg": "RS256", "kid": "r1"}, _claims(), RSA_PEM),
    "RS256 with the EC key's id": lambda: _rs(kid="e1"),
    "another's RSA key under our id": lambda: _rs(STRANGER),
    "an unknown kid": lambda: _rs(kid="r9"),
    "no kid with RS256": lambda: _rs(kid=None),
    "kid is a path": lambda: _hs(header={"kid": "../../dev/null"}),
    "kid is SQL": lambda: _hs(header={"kid": "x' UNION SELECT 'k"}),
    "kid is a number": lambda: _hs(header={"kid": 7}),
    "kid is long": lambda: _hs(header={"kid": "k" * 500}),
    "jku": lambda: _hs(header={"jku": "https://evil.example/jwks"}),
    "x5u": lambda: _hs(header={"x5u": "https://evil.example/cert"}),
    "x5c": lambda: _hs(header={"x5c": ["MII"]}),
    "jwk": lambda: _hs(header={"jwk": {"kty": "oct", "k": "AA"}}),
    "crit": lambda: _hs(header={"crit": ["exp"]}),
    "b64": lambda: _hs(header={"b64": False, "crit": ["b64"]}),
    "another secret": lambda: _hs("x" * 40),
    "an empty secret": lambda: _hs(""),
    "the secret base64-decoded": lambda: _by_hand({"alg": "HS256"}, _claims(), base64.b64decode("c3VwZXItc2VjcmV0")),
    "signature cut off": lambda: _hs().rsplit(".", 1)[0] + ".",
    "claims changed": lambda: _hs().rsplit(".", 1)[0] + "." + _hs(sub=str(uuid.uuid4())).rsplit(".", 1)[1],
    "aud missing": lambda: _hs(aud=...),
    "aud other": lambda: _hs(aud="anon"),
    "aud list without us": lambda: _hs(aud=["a", "b"]),
    "aud is a number": lambda: _hs(aud=7),
    "aud holds us as a part": lambda: _hs(aud="authenticated-not"),
    "role missing": lambda: _hs(role=...),
    "role other": lambda: _hs(role="postgres"),
    "role a list": lambda: _hs(role=["authenticated"]),
    "role an object": lambda: _hs(role={"authenticated": True}),
    "sub missing": lambda: _hs(sub=...),
    "sub no UUID": lambda: _hs(sub="admin"),
    "sub with braces": lambda: _hs(sub=f"{{{USER}}}"),
    "sub with a newline": lambda: _hs(sub=f"{USER}\n"),
    "sub a number": lambda: _hs(sub=7),
    "exp missing": lambda: _hs(exp=...),
    "exp a text": lambda: _hs(exp=str(NOW + 36_000)),
    "exp not finite": lambda: _by_hand(
        {"alg": "HS256"}, json.dumps(_claims()).replace(str(_claims()["exp"]), "Infinity").encode(), SECRET.encode()
    ),
    "exp a list": lambda: _hs(exp=[NOW + 36_000]),
    "nbf tomorrow": lambda: _hs(nbf=NOW + 86_400),
    "nbf a text": lambda: _hs(nbf="soon"),
    "iat tomorrow": lambda: _hs(iat=NOW + 86_400),
    "iat a text": lambda: _hs(iat="now"),
    "iss missing": lambda: _hs(iss=...),
    "iss another project": lambda: _rs(iss="https://evil.supabase.co/auth/v1"),
    "iss with a slash": lambda: _rs(iss=ISSUER + "/"),
    "app_metadata a text": lambda: _hs(app_metadata="operator"),
    "tenant a path": lambda: _hs(app_metadata={"tenant": "../x"}),
    "claims a list": lambda: _by_hand({"alg": "HS256"}, b"[]", SECRET.encode()),
    "claims no JSON": lambda: _by_hand({"alg": "HS256"}, b"{", SECRET.encode()),
    "claims no UTF-8": lambda: _by_hand({"alg": "HS256"}, b'{"sub":"\xff"}', SECRET.encode()),
    "claims very deep": lambda: _by_hand({"alg": "HS256"}, b'{"a":' * 1000 + b"1" + b"}" * 1000, SECRET.encode()),
    "header no JSON": lambda: "e30x." + _hs().split(".", 1)[1],
    "two parts": lambda: _hs().rsplit(".", 1)[0],
    "four parts": lambda: _hs() + ".x",
    "no parts": lambda: "sb_publishable_123",
    "very long": lambda: _hs(pad="x" * 9000),
    "not ASCII": lambda: _hs() + "é",
    "a token with a space inside": lambda: f"Bearer {_hs()} x",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_token_is_refused(name: str) -> None:
    project = Project(_jwk(RSA_KEY, "r1"), _jwk(EC_KEY, "e1"))
    assert await _code(_verifier(project), HOSTILE[name]()) == "token_invalid"
    assert set(project.asked) <= {JWKS_URL}


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", f"Basic {VECTOR}", VECTOR + " x", "Token abc"])
async def test_without_a_bearer_nobody_is_authenticated(header: str | None) -> None:
    with pytest.raises(Problem) as refused:
        await _verifier().identify(header)
    assert (refused.value.status, refused.value.code) == (401, "unauthenticated")
    assert await _verifier().identify_or_none(header) is None


@pytest.mark.parametrize("expiry", [NOW - 31, 1, 0, -5], ids=["31 s ago", "1970", "0", "-5"])
async def test_an_old_token_is_told_apart(expiry: int) -> None:
    assert await _code(_verifier(), _hs(exp=expiry)) == "token_expired"


async def test_an_old_token_of_somebody_elses_is_just_invalid() -> None:
    assert await _code(_verifier(), _hs("x" * 40, exp=1)) == "token_invalid"


@pytest.mark.parametrize("role", ["anon", "service_role"])
async def test_the_projects_api_keys_are_never_users(role: str) -> None:
    legacy = _by_hand(
        {"alg": "HS256"}, {"iss": "supabase", "ref": "abcd", "role": role, "exp": NOW + 10**8}, SECRET.encode()
    )
    full = _hs(role=role)  # with sub and aud, as no real one has
    for token in (legacy, full):
        assert await _code(_verifier(), token) == "unauthenticated"
        assert await _verifier().identify_or_none(f"Bearer {token}") is None
    configured = _verifier(
        supabase_anon_key=SecretStr("sb_publishable_1"), supabase_service_role_key=SecretStr("sb_secret_1")
    )
    for key in ("sb_publishable_1", "sb_secret_1"):
        assert await _code(configured, key) == "unauthenticated"


async def test_where_nobody_is_allowed_a_bad_token_is_still_refused() -> None:
    with pytest.raises(Problem, match="token_invalid"):
        await _verifier().identify_or_none(f"Bearer {_hs('x' * 40)}")
    identity = await _verifier().identify_or_none(f"Bearer {_hs()}")
    assert identity == Identity(USER)


# --- public keys ---


async def test_only_keys_of_the_right_shape_are_used() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - refused is the point
    other_curve = ec.generate_private_key(ec.SECP384R1())
    project = Project(
        _jwk(RSA_KEY, "for-encryption", use="enc"),
        _jwk(RSA_KEY, "other-alg", alg="RS512"),
        _jwk(RSA_KEY, "odd-alg", alg=["RS256"]),
        _jwk(weak, "weak"),
        _jwk(other_curve, "p384"),
        {"kty": "oct", "kid": "secret", "k": _b64(SECRET.encode()), "alg": "HS256"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": 7},
        _jwk(RSA_KEY, "r1"),
    )
    verifier = _verifier(project)
    for kid in ("for-encryption", "other-alg", "odd-alg", "broken"):
        assert await _code(verifier, _rs(kid=kid)) == "token_invalid"
    with pytest.warns(InsecureKeyLengthWarning):
        signed_weakly = _rs(weak, "weak")
    assert await _code(verifier, signed_weakly) == "token_invalid"
    assert (await verifier.identify(f"Bearer {_rs()}")).user_id == USER


async def test_an_empty_key_set_is_no_outage() -> None:
    verifier = _verifier(Project())
    assert await _code(verifier, _rs()) == "token_invalid"
    assert (await verifier.identify(f"Bearer {_hs()}")).user_id == USER


async def test_an_unknown_kid_asks_again_at_most_once_a_minute() -> None:
    project = Project(_jwk(RSA_KEY, "r1"))
    verifier = _verifier(project)
    await verifier.identify(f"Bearer {_rs()}")
    project.keys.append(_jwk(EC_KEY, "e1"))
    for _ in range(20):
        assert await _code(verifier, _es()) == "token_invalid"
    assert len(project.asked) == 1
    project.now += 61
    assert (await verifier.identify(f"Bearer {_es()}")).user_id == USER
    assert len(project.asked) == 2


async def test_known_keys_are_not_fetched_for_every_token() -> None:
    project = Project(_jwk(RSA_KEY, "r1"))
    verifier = _verifier(project)
    for _ in range(5):
        await verifier.identify(f"Bearer {_rs()}")
    assert len(project.asked) == 1


async def test_a_removed_key_is_refused_after_the_next_fetch() -> None:
    project = Project(_jwk(RSA_KEY, "r1"))
    verifier = _verifier(project)
    await verifier.identify(f"Bearer {_rs()}")
    project.keys.clear()
    project.now += 601
    assert await _code(verifier, _rs()) == "token_invalid"


async def test_known_keys_serve_through_an_outage_up_to_a_bound_then_fail_closed() -> None:
    project = Project(_jwk(RSA_KEY, "r1"))
    verifier = _verifier(project)
    await verifier.identify(f"Bearer {_rs()}")
    project.away = True
    project.now += 7200
    assert (await verifier.identify(f"Bearer {_rs()}")).user_id == USER
    project.now += 1
    with pytest.raises(Problem) as refused:
        await verifier.identify(f"Bearer {_rs()}")
    assert (refused.value.status, refused.value.code) == (503, "identity_unavailable")
    assert (await verifier.identify(f"Bearer {_hs()}")).user_id == USER  # secrets need no one
    project.away = False
    project.now += 60
    assert (await verifier.identify(f"Bearer {_rs()}")).user_id == USER


async def test_keys_that_were_never_reached_fail_closed_and_are_asked_for_once_a_minute() -> None:
    project = Project(_jwk(RSA_KEY, "r1"))
    project.away = True
    verifier = _verifier(project)
    for _ in range(10):
        with pytest.raises(Problem, match="503 identity_unavailable"):
            await verifier.identify(f"Bearer {_rs()}")
    assert len(project.asked) == 1


# --- configuration ---


@pytest.mark.parametrize("secret", ["short", "", f"{SECRET},short"])
def test_a_secret_that_is_missing_or_short_is_refused_at_start(secret: str) -> None:
    with pytest.raises(ValueError, match="SUPABASE_JWT_SECRET") as refused:
        _verifier(secret=secret)
    assert "super" not in str(refused.value)
