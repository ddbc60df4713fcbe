"""Owns the claims J1–J3: who is a user, shown with real keys, the known vector and a hostile set."""

import base64
import json
import time
import uuid
from collections.abc import Callable

import jwt
import pytest
from pydantic import SecretStr

from libs.common.errors import Problem
from libs.common.identity import Identity, issue
from tests.unit.common.tokens import (
    EC_KEY,
    ISSUER,
    JWKS_URL,
    RSA_KEY,
    RSA_PEM,
    SECRET,
    STRANGER,
    USER,
    VECTOR,
    Project,
    b64,
    by_hand,
    claims,
    code,
    es,
    hs,
    jwk,
    rs,
    verifier_of,
)

# --- who is a user ---


async def test_the_known_vector_is_its_user() -> None:
    identity = await verifier_of().identify(f"Bearer {VECTOR}")
    assert identity == Identity(uuid.UUID("00000000-0000-4000-8000-000000000001"))


async def test_a_token_we_issue_is_accepted_with_its_roles() -> None:
    token = issue(SECRET, USER, ["operator", "unheard-of"], 60)
    assert await verifier_of().identify(f"Bearer {token}") == Identity(USER, "default", frozenset({"operator"}))


@pytest.mark.parametrize("token", [hs(), rs(), es(), hs(aud=["else", "authenticated"]), hs(header={"kid": "old-1"})])
async def test_each_kind_of_good_token_is_accepted(token: str) -> None:
    project = Project(jwk(RSA_KEY, "r1"), jwk(EC_KEY, "e1"))
    assert (await verifier_of(project).identify(f"Bearer {token}")).user_id == USER
    assert set(project.asked) <= {JWKS_URL}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_is_read_without_case(scheme: str) -> None:
    assert (await verifier_of().identify(f"{scheme} {hs()}")).user_id == USER


async def test_tenant_and_roles_come_from_app_metadata_alone() -> None:
    token = hs(
        app_metadata={"tenant": "clinic-7", "roles": ["clinician", "root", 7]},
        user_metadata={"tenant": "other", "roles": ["operator"]},
        roles=["operator"],
    )
    assert await verifier_of().identify(f"Bearer {token}") == Identity(USER, "clinic-7", frozenset({"clinician"}))


async def test_clocks_may_differ_by_thirty_seconds() -> None:
    now = int(time.time())
    for token in (hs(exp=now - 20), hs(iat=now + 20), hs(nbf=now + 20)):
        assert (await verifier_of().identify(f"Bearer {token}")).user_id == USER


async def test_all_secrets_verify_while_one_is_rotated_and_the_first_signs() -> None:
    new = "n" * 40
    both = verifier_of(secret=f"{new}, {SECRET}")
    for token in (hs(), hs(new), issue(f"{new},{SECRET}", USER)):
        assert (await both.identify(f"Bearer {token}")).user_id == USER
    assert (await verifier_of(secret=new).identify(f"Bearer {issue(f'{new},{SECRET}', USER)}")).user_id == USER
    assert await code(verifier_of(secret=new), hs()) == "token_invalid"


# --- who is not ---

NOW = int(time.time())
HOSTILE: dict[str, Callable[[], str]] = {
    "alg none": lambda: b64(b'{"alg":"none"}') + "." + b64(json.dumps(claims()).encode()) + ".",
    "alg None": lambda: by_hand({"alg": "None"}, claims(), b""),
    "no alg": lambda: by_hand({"typ": "JWT"}, claims(), SECRET.encode()),
    "alg as list": lambda: by_hand({"alg": ["HS256"]}, claims(), SECRET.encode()),
    "alg HS512": lambda: jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
    "alg RS512": lambda: jwt.encode(claims(), RSA_KEY, algorithm="RS512", headers={"kid": "r1"}),
    "alg EdDSA": lambda: by_hand({"alg": "EdDSA", "kid": "r1"}, claims(), SECRET.encode()),
    "public key as HMAC secret": lambda: by_hand({"alg": "HS256", "kid": "r1"}, claims(), RSA_PEM),
    "modulus as HMAC secret": lambda: by_hand({"alg": "HS256"}, claims(), str(jwk(RSA_KEY, "r1")["n"]).encode()),
    "RS256 says, HMAC signs": lambda: by_hand({"alg": "RS256", "kid": "r1"}, claims(), RSA_PEM),
    "RS256 with the EC key's id": lambda: rs(kid="e1"),
    "another's RSA key under our id": lambda: rs(STRANGER),
    "an unknown kid": lambda: rs(kid="r9"),
    "no kid with RS256": lambda: rs(kid=None),
    "kid is a path": lambda: hs(header={"kid": "../../dev/null"}),
    "kid is SQL": lambda: hs(header={"kid": "x' UNION SELECT 'k"}),
    "kid is a number": lambda: hs(header={"kid": 7}),
    "kid is long": lambda: hs(header={"kid": "k" * 500}),
    "jku": lambda: hs(header={"jku": "https://evil.example/jwks"}),
    "x5u": lambda: hs(header={"x5u": "https://evil.example/cert"}),
    "x5c": lambda: hs(header={"x5c": ["MII"]}),
    "jwk": lambda: hs(header={"jwk": {"kty": "oct", "k": "AA"}}),
    "crit": lambda: hs(header={"crit": ["exp"]}),
    "b64": lambda: hs(header={"b64": False, "crit": ["b64"]}),
    "another secret": lambda: hs("x" * 40),
    "an empty secret": lambda: hs(""),
    "the secret base64-decoded": lambda: by_hand({"alg": "HS256"}, claims(), base64.b64decode("c3VwZXItc2VjcmV0")),
    "signature cut off": lambda: hs().rsplit(".", 1)[0] + ".",
    "claims changed": lambda: hs().rsplit(".", 1)[0] + "." + hs(sub=str(uuid.uuid4())).rsplit(".", 1)[1],
    "aud missing": lambda: hs(aud=...),
    "aud other": lambda: hs(aud="anon"),
    "aud list without us": lambda: hs(aud=["a", "b"]),
    "aud is a number": lambda: hs(aud=7),
    "aud holds us as a part": lambda: hs(aud="authenticated-not"),
    "role missing": lambda: hs(role=...),
    "role other": lambda: hs(role="postgres"),
    "role a list": lambda: hs(role=["authenticated"]),
    "role an object": lambda: hs(role={"authenticated": True}),
    "sub missing": lambda: hs(sub=...),
    "sub no UUID": lambda: hs(sub="admin"),
    "sub with braces": lambda: hs(sub=f"{{{USER}}}"),
    "sub with a newline": lambda: hs(sub=f"{USER}\n"),
    "sub a number": lambda: hs(sub=7),
    "exp missing": lambda: hs(exp=...),
    "exp a text": lambda: hs(exp=str(NOW + 36_000)),
    "exp not finite": lambda: by_hand(
        {"alg": "HS256"}, json.dumps(claims()).replace(str(claims()["exp"]), "Infinity").encode(), SECRET.encode()
    ),
    "exp a list": lambda: hs(exp=[NOW + 36_000]),
    "nbf tomorrow": lambda: hs(nbf=NOW + 86_400),
    "nbf a text": lambda: hs(nbf="soon"),
    "iat tomorrow": lambda: hs(iat=NOW + 86_400),
    "iat a text": lambda: hs(iat="now"),
    "iss missing": lambda: hs(iss=...),
    "iss another project": lambda: rs(iss="https://evil.supabase.co/auth/v1"),
    "iss with a slash": lambda: rs(iss=ISSUER + "/"),
    "app_metadata a text": lambda: hs(app_metadata="operator"),
    "tenant a path": lambda: hs(app_metadata={"tenant": "../x"}),
    "claims a list": lambda: by_hand({"alg": "HS256"}, b"[]", SECRET.encode()),
    "claims no JSON": lambda: by_hand({"alg": "HS256"}, b"{", SECRET.encode()),
    "claims no UTF-8": lambda: by_hand({"alg": "HS256"}, b'{"sub":"\xff"}', SECRET.encode()),
    "claims very deep": lambda: by_hand({"alg": "HS256"}, b'{"a":' * 1000 + b"1" + b"}" * 1000, SECRET.encode()),
    "header no JSON": lambda: "e30x." + hs().split(".", 1)[1],
    "two parts": lambda: hs().rsplit(".", 1)[0],
    "four parts": lambda: hs() + ".x",
    "no parts": lambda: "sb_publishable_123",
    "very long": lambda: hs(pad="x" * 9000),
    "not ASCII": lambda: hs() + "é",
    "a token with a space inside": lambda: f"Bearer {hs()} x",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_token_is_refused(name: str) -> None:
    project = Project(jwk(RSA_KEY, "r1"), jwk(EC_KEY, "e1"))
    assert await code(verifier_of(project), HOSTILE[name]()) == "token_invalid"
    assert set(project.asked) <= {JWKS_URL}


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", f"Basic {VECTOR}", VECTOR + " x", "Token abc"])
async def test_without_a_bearer_nobody_is_authenticated(header: str | None) -> None:
    with pytest.raises(Problem) as refused:
        await verifier_of().identify(header)
    assert (refused.value.status, refused.value.code) == (401, "unauthenticated")
    assert await verifier_of().identify_or_none(header) is None


@pytest.mark.parametrize("expiry", [NOW - 31, 1, 0, -5], ids=["31 s ago", "1970", "0", "-5"])
async def test_an_old_token_is_told_apart(expiry: int) -> None:
    assert await code(verifier_of(), hs(exp=expiry)) == "token_expired"


async def test_an_old_token_of_somebody_elses_is_just_invalid() -> None:
    assert await code(verifier_of(), hs("x" * 40, exp=1)) == "token_invalid"


@pytest.mark.parametrize("role", ["anon", "service_role"])
async def test_the_projects_api_keys_are_never_users(role: str) -> None:
    legacy = by_hand(
        {"alg": "HS256"}, {"iss": "supabase", "ref": "abcd", "role": role, "exp": NOW + 10**8}, SECRET.encode()
    )
    full = hs(role=role)  # with sub and aud, as no real one has
    for token in (legacy, full):
        assert await code(verifier_of(), token) == "unauthenticated"
        assert await verifier_of().identify_or_none(f"Bearer {token}") is None
    configured = verifier_of(
        supabase_anon_key=SecretStr("sb_publishable_1"), supabase_service_role_key=SecretStr("sb_secret_1")
    )
    for key in ("sb_publishable_1", "sb_secret_1"):
        assert await code(configured, key) == "unauthenticated"


async def test_where_nobody_is_allowed_a_bad_token_is_still_refused() -> None:
    with pytest.raises(Problem, match="token_invalid"):
        await verifier_of().identify_or_none(f"Bearer {hs('x' * 40)}")
    identity = await verifier_of().identify_or_none(f"Bearer {hs()}")
    assert identity == Identity(USER)


# --- configuration ---


@pytest.mark.parametrize("secret", ["short", "", f"{SECRET},short"])
def test_a_secret_that_is_missing_or_short_is_refused_at_start(secret: str) -> None:
    with pytest.raises(ValueError, match="SUPABASE_JWT_SECRET") as refused:
        verifier_of(secret=secret)
    assert "super" not in str(refused.value)
