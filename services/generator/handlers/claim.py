"""A claim: a free slot, the most urgent segment, its attempt and token, `generating` and its news, in one commit."""

import hashlib
import time
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID, uuid4

import asyncpg

from libs.common.database import Channel, Connection
from libs.common.events import SegmentStarted
from libs.common.fault_points import reach
from libs.common.lifecycle import move_segment
from libs.common.outbox import announce
from services.generator.domain.next_step import MAX_TRIES, after_refusal
from services.generator.domain.providers import Provider
from services.generator.domain.request import SegmentBrief
from services.generator.domain.verdicts import Verdict
from services.generator.handlers.decision import decide, read_segment
from services.generator.handlers.resources import Resources
from services.generator.storage import claims, segments
from services.generator.storage.segments import LockedSegment

SEND_FIRST_SECONDS = 0.01  # the relay's turn in this process would come before the call to the provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One permission to call a provider once, soon. `token` is in clear here and in the public column only."""

    attempt_id: UUID
    attempt_no: int
    run_id: UUID
    provider: Provider
    account: str
    slot_no: int
    token: UUID
    brief: SegmentBrief
    claimed_at: float  # boot-time clock, seconds; taken before the database's own time of the claim


class NoClaim(Enum):
    """Why there is nothing to send."""

    NOTHING = auto()  # no slot is free or nothing is due
    DROPPED = auto()  # a row was there, but nothing is to be sent for it


class _NothingDueError(Exception):
    """Rolls the transaction back, so that a probe is not spent on an empty queue."""


def boot_clock() -> float:
    """Seconds that also pass while the machine sleeps: a claim from before must not be sent after."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def claim(resources: Resources, provider: Provider) -> Claim | NoClaim:
    """Claim the most urgent segment that waits for this provider. Any number of processes may do so at once."""
    async with resources.database.connection() as connection:
        return await claim_on(connection, resources, provider)


async def claim_on(connection: Connection, resources: Resources, provider: Provider) -> Claim | NoClaim:
    """Claim on a connection that the caller keeps: giving one back costs a round trip, each time."""
    claimed_at = boot_clock()
    try:
        async with connection.transaction():
            picked = await _pick(connection, resources, provider)
            if not await segments.lock(connection, picked["run_id"], picked["segment_id"]):
                return NoClaim.DROPPED
            segment = await read_segment(connection, resources, picked["segment_id"])
            if segment is None or not _may_be_sent(segment, provider, bridge=picked["bridge"]):
                return NoClaim.DROPPED
            if await _is_spent(connection, resources, provider, segment):
                made: Claim | NoClaim = NoClaim.DROPPED
            else:
                made = await _attempt(connection, provider, segment, picked, claimed_at)
            reach("before_claim_commit")
    except _NothingDueError:
        return NoClaim.NOTHING
    resources.database.wake(Channel.OUTBOX, after=SEND_FIRST_SECONDS)
    return made


async def _pick(connection: Connection, resources: Resources, provider: Provider) -> asyncpg.Record:
    accounts, tracks = resources.roster.accounts_of(provider.name), resources.tracks
    picked = await claims.pick(connection, accounts, provider.name, tracks)
    if picked is not None and picked["guarded"]:
        admitted = await claims.admit(connection, picked["account"])
        picked = await claims.pick_for(connection, picked, provider.name, tracks) if admitted else None
    if picked is None or picked["segment_id"] is None:
        raise _NothingDueError
    return picked


def _may_be_sent(segment: LockedSegment, provider: Provider, *, bridge: bool) -> bool:
    """Not when it is over, nor beside a live attempt that the row is not meant to bridge."""
    if segment.is_over:
        return False
    return not segment.live_providers or (bridge and provider.name not in segment.live_providers)


async def _is_spent(connection: Connection, resources: Resources, provider: Provider, segment: LockedSegment) -> bool:
    """Past its deadline or its budget: the row came too late, and somebody else is asked or nobody."""
    spent = provider.paid and segment.tries.get(provider.name, 0) >= MAX_TRIES
    if not spent and not segment.past_deadline:
        return False
    code = "deadline_passed" if segment.past_deadline else "attempts_spent"
    await decide(
        connection,
        resources,
        segment.id,
        lambda now: after_refusal(now, provider, Verdict.RETRY, resources.clock),
        code,
    )
    resources.database.wake(Channel.QUEUE)
    return True


async def _attempt(
    connection: Connection,
    provider: Provider,
    segment: LockedSegment,
    slot: asyncpg.Record,
    claimed_at: float,
) -> Claim:
    token = uuid4()
    attempt = await claims.insert_attempt(
        connection,
        segment_id=segment.id,
        user_id=segment.user_id,
        provider=provider.name,
        account=slot["account"],
        slot_no=slot["slot_no"],
        bridge=slot["bridge"] and bool(segment.live_providers),
        token_sha256=hashlib.sha256(str(token).encode()).digest(),
    )
    if await move_segment(connection, segment.id, "generating", callback_token=token) is None:
        await claims.show_token(connection, segment.id, token)
    started = SegmentStarted(
        run_id=segment.run_id,
        segment_id=segment.id,
        attempt_id=attempt["id"],
        attempt_no=attempt["attempt_no"],
        provider=provider.name,
    )
    await announce(connection, started)
    return Claim(
        attempt_id=attempt["id"],
        attempt_no=attempt["attempt_no"],
        run_id=segment.run_id,
        provider=provider,
        account=slot["account"],
        slot_no=slot["slot_no"],
        token=token,
        brief=SegmentBrief(segment.id, segment.title, segment.segment_index, segment.segments_count, segment.plan),
        claimed_at=claimed_at,
    )
