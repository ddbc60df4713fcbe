"""Owns the claims about media tokens: they open one object, for a while, with a key of ours."""

import time

import pytest
from pydantic import SecretStr

from libs.common.errors import Problem
from libs.common.settings import SigningSettings
from libs.common.signing import MediaSigner

NEW, OLD = "02" * 32, "01" * 32
KEY = "runs/8f1b0c9e-0000-4000-8000-000000000001/8f1b0c9e-0000-4000-8000-000000000002.mp3"
EXPIRY = 1_900_000_000


def _signer(keys: str) -> MediaSigner:
    return MediaSigner.from_settings(SigningSettings(media_signing_keys=SecretStr(keys)))


def _code(signer: MediaSigner, token: str, *, key: str = KEY, now: float = 1_800_000_000) -> str:
    with pytest.raises(Problem) as refused:
        signer.verify(key, token, now=now)
    assert refused.value.status == 403
    return refused.value.code


def test_a_token_opens_its_object_until_it_expires() -> None:
    signer = _signer(f"k1:{OLD}")
    token = signer.sign(KEY, EXPIRY)
    assert signer.verify(KEY, token, now=EXPIRY - 0.001) == EXPIRY
    assert _code(signer, token, now=EXPIRY) == "token_expired"


def test_the_form_is_key_id_expiry_and_mac() -> None:
    # Computed apart: HMAC-SHA256(01 × 32, "k1\n1900000000\n<KEY>"), base64url without padding
    assert _signer(f"k1:{OLD}").sign(KEY, EXPIRY) == "k1.1900000000._OT3U5LQ1Mo--sIUbSFned2XaIQppobNohhf3CIQTds"


def test_the_clock_is_used_when_no_time_is_given() -> None:
    signer = _signer(f"k1:{OLD}")
    now = int(time.time())
    assert signer.verify(KEY, signer.sign(KEY, now + 60)) == now + 60
    with pytest.raises(Problem, match="token_expired"):
        signer.verify(KEY, signer.sign(KEY, now - 1))


def test_the_first_key_signs_and_all_verify() -> None:
    before, during, after = _signer(f"k1:{OLD}"), _signer(f"k2:{NEW}, k1:{OLD}"), _signer(f"k2:{NEW}")
    assert during.sign(KEY, EXPIRY) == after.sign(KEY, EXPIRY) != before.sign(KEY, EXPIRY)
    assert during.verify(KEY, before.sign(KEY, EXPIRY), now=0) == EXPIRY
    assert _code(after, before.sign(KEY, EXPIRY)) == "token_invalid"


def test_any_changed_character_is_refused() -> None:
    signer = _signer(f"k2:{NEW},k1:{OLD}")
    token = signer.sign(KEY, EXPIRY)
    for at, character in enumerate(token):
        other = "A" if character != "A" else "B"
        assert _code(signer, token[:at] + other + token[at + 1 :]) == "token_invalid"
        assert _code(signer, token[:at] + token[at + 1 :]) == "token_invalid"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "k1", "k1.1900000000", "k1.1900000000.", "k1..x", "k9.1900000000.AAAA", "k1.1900000000.é",
     "k1.-1.x", "k1.1900000000.x.y", "\ud800.1.x", "k1.01900000000.x", "k1.19e8.x", "k1.９９９９９９９９９９.x"],
)  # fmt: skip
def test_a_malformed_token_is_refused(token: str) -> None:
    assert _code(_signer(f"k1:{OLD}"), token) == "token_invalid"


def test_a_token_opens_no_other_object_and_lends_itself_to_no_other_split() -> None:
    signer = _signer(f"k1:{OLD}")
    token = signer.sign(KEY, EXPIRY)
    assert _code(signer, token, key=KEY.replace("2.mp3", "3.mp3")) == "token_invalid"
    assert _code(signer, token, key=f"\n{KEY}") == "token_invalid"
    assert _code(signer, token.replace("1900000000", "2900000000")) == "token_invalid"


def test_an_expired_token_with_a_wrong_mac_is_just_invalid() -> None:
    signer = _signer(f"k1:{OLD}")
    assert _code(signer, _signer(f"k1:{NEW}").sign(KEY, EXPIRY), now=EXPIRY + 1) == "token_invalid"


@pytest.mark.parametrize(
    "keys",
    ["", "k1", "k1:", "k1:xyz", "k1:0102", f":{OLD}", f"k 1:{OLD}", f"k1:{OLD},", f"k1:{OLD},k1:{NEW}", f"k.1:{OLD}"],
)
def test_malformed_keys_are_refused_at_start_without_being_shown(keys: str) -> None:
    with pytest.raises(ValueError, match="MEDIA_SIGNING_KEYS") as refused:
        _signer(keys)
    assert OLD not in str(refused.value)
