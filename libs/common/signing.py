"""Owns media tokens: what makes `/media/parcours-tracks/<key>?token=…` readable for an hour, by whoever holds it."""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from types import MappingProxyType

from libs.common.errors import Problem, SettingError
from libs.common.settings import SigningSettings

MIN_KEY_BYTES = 32  # HMAC-SHA256 gains nothing from longer keys and loses below
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_EXPIRY = re.compile(r"[1-9][0-9]{9,11}")  # Unix seconds, one spelling only


class MediaSigner:
    r"""Signs with its first key and verifies with all, so that a key can be rotated while its URLs live.

    A token is `<key id>.<expiry>.<HMAC-SHA256, base64url>` over `<key id>\n<expiry>\n<object key>`.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise SettingError("MEDIA_SIGNING_KEYS: expected at least one `id:hex`, found none")
        for key_id, key in keys.items():
            if not _KEY_ID.fullmatch(key_id):
                raise SettingError("MEDIA_SIGNING_KEYS: a key id has 1 to 32 letters, digits, `_` or `-`")
            if len(key) < MIN_KEY_BYTES:
                raise SettingError(
                    f"MEDIA_SIGNING_KEYS: {key_id} has {len(key)} bytes, expected {MIN_KEY_BYTES} or more"
                )
        self._keys = MappingProxyType(dict(keys))
        self._first = next(iter(self._keys))

    @classmethod
    def from_settings(cls, settings: SigningSettings) -> "MediaSigner":
        """Read `k2:hex,k1:hex`; raises SettingError, without the keys in its text, when that is malformed."""
        keys: dict[str, bytes] = {}
        for item in settings.media_signing_keys.get_secret_value().split(","):
            key_id, colon, digits = item.strip().partition(":")
            if not colon or key_id in keys:
                raise SettingError("MEDIA_SIGNING_KEYS: expected `id:hex,id:hex` with each id once")
            try:
                keys[key_id] = bytes.fromhex(digits)
            except ValueError:
                raise SettingError(f"MEDIA_SIGNING_KEYS: key {key_id} is not hexadecimal") from None
        return cls(keys)

    def sign(self, object_key: str, expires_at: int) -> str:
        """Return a token for this object until this Unix time in seconds."""
        return f"{self._first}.{expires_at}.{self._mac(self._first, str(expires_at), object_key)}"

    def verify(self, object_key: str, token: str, *, now: float | None = None) -> int:
        """Return the expiry of a token that opens this object; raise a 403 problem otherwise.

        `token_expired` is told apart from `token_invalid` only when the signature is right.
        """
        key_id, _, rest = token.partition(".")
        expiry, _, mac = rest.partition(".")
        known = key_id in self._keys and _EXPIRY.fullmatch(expiry) is not None
        # An unknown key costs the same work, so that the answer's time does not tell which ids exist.
        expected = self._mac(key_id if known else self._first, expiry, object_key)
        if not (hmac.compare_digest(expected.encode(), mac.encode("utf-8", "replace")) and known):
            raise Problem(403, "token_invalid", "The address is not signed for this file")
        if int(expiry) <= (time.time() if now is None else now):
            raise Problem(403, "token_expired", "The signed address has expired")
        return int(expiry)

    def _mac(self, key_id: str, expiry: str, object_key: str) -> str:
        # Newlines cannot stand in any of the three parts, so two different triples never give the same bytes.
        message = f"{key_id}\n{expiry}\n{object_key}".encode("utf-8", "replace")
        digest = hmac.new(self._keys[key_id], message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
