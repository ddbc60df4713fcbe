"""Owns the claims about public keys: which are used, when they are fetched again, and what an outage means."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.warnings import InsecureKeyLengthWarning

from libs.common.errors import Problem
from tests.unit.common.tokens import EC_KEY, RSA_KEY, SECRET, USER, Project, b64, code, es, hs, jwk, rs, verifier_of

# --- public keys ---


async def test_only_keys_of_the_right_shape_are_used() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - refused is the point
    other_curve = ec.generate_private_key(ec.SECP384R1())
    project = Project(
        jwk(RSA_KEY, "for-encryption", use="enc"),
        jwk(RSA_KEY, "other-alg", alg="RS512"),
        jwk(RSA_KEY, "odd-alg", alg=["RS256"]),
        jwk(weak, "weak"),
        jwk(other_curve, "p384"),
        {"kty": "oct", "kid": "secret", "k": b64(SECRET.encode()), "alg": "HS256"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": 7},
        jwk(RSA_KEY, "r1"),
    )
    verifier = verifier_of(project)
    for kid in ("for-encryption", "other-alg", "odd-alg", "broken"):
        assert await code(verifier, rs(kid=kid)) == "token_invalid"
    with pytest.warns(InsecureKeyLengthWarning):
        signed_weakly = rs(weak, "weak")
    assert await code(verifier, signed_weakly) == "token_invalid"
    assert (await verifier.identify(f"Bearer {rs()}")).user_id == USER


async def test_an_empty_key_set_is_no_outage() -> None:
    verifier = verifier_of(Project())
    assert await code(verifier, rs()) == "token_invalid"
    assert (await verifier.identify(f"Bearer {hs()}")).user_id == USER


async def test_an_unknown_kid_asks_again_at_most_once_a_minute() -> None:
    project = Project(jwk(RSA_KEY, "r1"))
    verifier = verifier_of(project)
    await verifier.identify(f"Bearer {rs()}")
    project.keys.append(jwk(EC_KEY, "e1"))
    for _ in range(20):
        assert await code(verifier, es()) == "token_invalid"
    assert len(project.asked) == 1
    project.now += 61
    assert (await verifier.identify(f"Bearer {es()}")).user_id == USER
    assert len(project.asked) == 2


async def test_known_keys_are_not_fetched_for_every_token() -> None:
    project = Project(jwk(RSA_KEY, "r1"))
    verifier = verifier_of(project)
    for _ in range(5):
        await verifier.identify(f"Bearer {rs()}")
    assert len(project.asked) == 1


async def test_a_removed_key_is_refused_after_the_next_fetch() -> None:
    project = Project(jwk(RSA_KEY, "r1"))
    verifier = verifier_of(project)
    await verifier.identify(f"Bearer {rs()}")
    project.keys.clear()
    project.now += 601
    assert await code(verifier, rs()) == "token_invalid"


async def test_known_keys_serve_through_an_outage_up_to_a_bound_then_fail_closed() -> None:
    project = Project(jwk(RSA_KEY, "r1"))
    verifier = verifier_of(project)
    await verifier.identify(f"Bearer {rs()}")
    project.away = True
    project.now += 7200
    assert (await verifier.identify(f"Bearer {rs()}")).user_id == USER
    project.now += 1
    with pytest.raises(Problem) as refused:
        await verifier.identify(f"Bearer {rs()}")
    assert (refused.value.status, refused.value.code) == (503, "identity_unavailable")
    assert (await verifier.identify(f"Bearer {hs()}")).user_id == USER  # secrets need no one
    project.away = False
    project.now += 60
    assert (await verifier.identify(f"Bearer {rs()}")).user_id == USER


async def test_keys_that_were_never_reached_fail_closed_and_are_asked_for_once_a_minute() -> None:
    project = Project(jwk(RSA_KEY, "r1"))
    project.away = True
    verifier = verifier_of(project)
    for _ in range(10):
        with pytest.raises(Problem, match="503 identity_unavailable"):
            await verifier.identify(f"Bearer {rs()}")
    assert len(project.asked) == 1
