"""Keeps the keys with which providers sign, and says who vouches for a webhook."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from libs.common.database import Database
from libs.common.errors import Problem
from services.callback.domain import signatures
from services.callback.domain.signatures import FAL, REPLICATE, Headers, Keys
from services.callback.storage.keys import provider_keys

SOONER: Final = 12  # a signature that no key explains lets them be read again so much sooner: they may have changed
KEPT_FOR: Final = 1440  # times as long, that is 24 h, a key serves when nobody fetches it again


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whose signatures a webhook bears, and of whom one is demanded."""

    signed: bool  # whether a signature is claimed at all
    signers: frozenset[str]
    keys: Keys

    def suffices(self, provider: str) -> bool:
        """Whether this may pass as the provider's; a 503 problem when there are no keys to tell: it will come again."""
        if provider in self.signers or not self.keys.demanded_of(provider):
            return True
        if self.signed and not self.keys.known_of(provider):
            raise Problem(503, "unavailable", "The keys that would tell are not here yet")
        return False


class KeyRing:
    """The keys that the generator keeps in the database, read again when they are old."""

    def __init__(self, database: Database, kie: bytes, tolerance: float, reread_after: timedelta) -> None:
        self._database = database
        self._tolerance = tolerance
        self._reread_after = reread_after.total_seconds()
        self._kept_for = reread_after * KEPT_FOR
        self._keys = Keys(kie=kie)
        self._read_at = float("-inf")

    async def vouched(self, headers: Headers, raw: bytes, task_id: str | None, *, now: float) -> Vouched:
        """Check every signature that the headers claim; the database is asked when the keys are old, and only then."""
        if not signatures.is_signed(headers):
            return Vouched(signed=False, signers=frozenset(), keys=self._keys)
        await self._refresh(self._reread_after)
        signers = signatures.signers(headers, raw, task_id, self._keys, now=now, tolerance=self._tolerance)
        if not signers and await self._refresh(self._reread_after / SOONER):
            signers = signatures.signers(headers, raw, task_id, self._keys, now=now, tolerance=self._tolerance)
        return Vouched(signed=True, signers=signers, keys=self._keys)

    async def _refresh(self, older_than: float) -> bool:
        """Read the keys if they are older than so many seconds; whether they were."""
        if time.monotonic() - self._read_at < older_than:
            return False
        async with self._database.connection() as connection:
            rows = await provider_keys(connection, self._kept_for)
        self._read_at = time.monotonic()
        fal = [signatures.fal_key(key) for provider, key in rows if provider == FAL]
        secrets = [signatures.replicate_secret(key) for provider, key in rows if provider == REPLICATE]
        self._keys = Keys(
            fal=tuple(key for key in fal if key is not None),
            replicate=tuple(secret for secret in secrets if secret is not None),
            kie=self._keys.kie,
        )
        return True
