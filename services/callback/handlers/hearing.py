"""Hears one webhook or one finding of the generator: understands it, finds its attempt, has it written down."""

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from libs.common.database import Database
from libs.common.errors import Problem
from libs.common.outbox import TRACEPARENT, new_traceparent
from services.callback.domain.dialects import fits, understand
from services.callback.domain.news import News, UnknownDialectError
from services.callback.domain.signatures import Headers
from services.callback.handlers.lanes import Lanes
from services.callback.handlers.vouching import KeyRing, Vouched
from services.callback.handlers.writing import LATE_AFTER, Asked
from services.callback.storage import attempts as storage
from services.callback.storage.attempts import Attempt

NOBODYS_HASH: Final = bytes(32)
SIGNATURE_SECONDS: Final = 300.0  # s a signature may be old or early: fal's own rule, and ours for the others
REREAD_KEYS_AFTER: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the environment decides."""

    simple_dialect: bool
    late_after: timedelta = LATE_AFTER
    signature_seconds: float = SIGNATURE_SECONDS
    kie_key: bytes = b""
    reread_keys_after: timedelta = REREAD_KEYS_AFTER


class Hearing:
    """Both ways by which news of an attempt comes."""

    def __init__(self, rules: Rules, database: Database, lanes: Lanes) -> None:
        self._rules = rules
        self._database = database
        self._lanes = lanes
        self._keys = KeyRing(database, rules.kie_key, rules.signature_seconds, rules.reread_keys_after)

    async def webhook(
        self, *, segment_id: UUID | None, token: UUID | None, raw: bytes, headers: Headers | None = None
    ) -> bool:
        """Write down a provider's webhook; false when it was known or came too late, and nothing was to be learnt.

        Raises a 400 problem for a body in no dialect understood here; a 401 problem, always the same one, for a segment
        and token that do not belong together, a body no provider of the attempt would send, and a signature that is
        missing, wrong or out of date. Signatures are checked before anybody is looked up: time tells nothing either.
        """
        news = _understood(raw, self._rules)
        vouched = await self._keys.vouched(headers or {}, raw, news.task_id, now=time.time())
        offered = None if token is None else hashlib.sha256(str(token).encode()).digest()

        def bearer(candidates: Sequence[Attempt]) -> Attempt:
            return _bearer(candidates, offered, news, vouched)

        # A segment that nobody has is asked for all the same, so that it costs the same.
        return await self._lanes.hear(Asked(segment_id or uuid4(), news, raw, _traceparent(), bearer))

    async def finding(self, *, attempt_id: UUID, raw: bytes) -> bool:
        """Write down what the generator found at the provider, by the same parse and the same guards as a webhook."""
        news = _understood(raw, self._rules)
        async with self._database.connection() as connection:
            segment_id = await storage.segment_of(connection, attempt_id)

        def named(candidates: Sequence[Attempt]) -> Attempt:
            return _named(candidates, attempt_id, news)

        return await self._lanes.hear(Asked(segment_id or uuid4(), news, raw, _traceparent(), named))


def _understood(raw: bytes, rules: Rules) -> News:
    try:
        return understand(raw, simple_allowed=rules.simple_dialect)
    except UnknownDialectError as error:
        raise Problem(400, "malformed", "The body is no webhook of a configured provider", detail=str(error)) from None


def _traceparent() -> str:
    return TRACEPARENT.get() or new_traceparent()


def _bearer(candidates: Sequence[Attempt], offered: bytes | None, news: News, vouched: Vouched) -> Attempt:
    """The attempt whose token this is and whose provider spoke; every candidate is compared, and one at least."""
    hmac.compare_digest(offered or NOBODYS_HASH, NOBODYS_HASH)
    matching = [each for each in candidates if hmac.compare_digest(offered or b"", each.token_sha256)]
    if not matching or not fits(news, matching[0].provider) or not vouched.suffices(matching[0].provider):
        raise Problem(401, "unauthenticated", "Segment and token do not belong together")
    return matching[0]


def _named(candidates: Sequence[Attempt], attempt_id: UUID, news: News) -> Attempt:
    found = next((each for each in candidates if each.id == attempt_id), None)
    if found is None:
        raise Problem(404, "not_found", "There is no such attempt")
    if not fits(news, found.provider):
        raise Problem(400, "malformed", "The body is no webhook of the attempt's provider")
    return found
