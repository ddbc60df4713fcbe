"""Starting a run: plan it, then write run, segments and news in one transaction, within the user's bounds."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid4

from libs.common.database import Channel, Connection, Database
from libs.common.errors import Problem
from libs.common.events import RunCreated
from libs.common.fault_points import reach
from libs.common.identity import Identity
from libs.common.outbox import announce
from libs.common.run_bounds import Bounds, check_bounds, lock_user
from services.create import storage
from services.create.domain.answers import created_run
from services.create.domain.plan import Plan
from services.create.domain.planner import HIGHEST_SEED, make_plan
from services.create.domain.run_request import RunRequest
from services.create.domain.stored_segment import stored_segment
from services.create.domain.texts import template_texts

Track = Literal["stable", "canary"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not depend on the request: keys of one purpose each, the bounds, who makes the music."""

    plan_key: bytes
    body_key: bytes
    bounds: Bounds
    providers: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Made:
    """A run's identity and its plan, whoever wrote them first."""

    run_id: UUID
    segment_ids: Sequence[UUID]
    plan: Plan


async def start_run(
    database: Database,
    rules: Rules,
    *,
    request: RunRequest,
    user: Identity,
    track: Track,
    idempotency_key: str | None,
) -> dict[str, Any]:
    """Start a run, or find the one that this key started in the last 24 h; both give the same answer.

    Raises 422 `idempotency_key_reused` for another body under the same key, 429 beyond the user's bounds. Requests of
    one user take turns, so neither is passed by sending many at once.
    """
    seed = secrets.randbelow(HIGHEST_SEED + 1) if request.seed is None else request.seed
    plan = make_plan(request.plan_request(seed), key=rules.plan_key)
    made = _Made(uuid4(), [uuid4() for _ in plan.segments], plan)
    async with database.transaction(Channel.OUTBOX) as connection:
        await lock_user(connection, user.user_id)
        earlier = None
        if idempotency_key is not None:
            body = hmac.digest(rules.body_key, request.canonical(), "sha256")
            earlier = await _earlier(connection, user.user_id, idempotency_key, body, made.run_id)
        if earlier is None:
            await check_bounds(connection, rules.bounds, user.user_id)
            await _write(connection, request, user, track, made)
        reach("before_run_commit")
    reach("after_run_commit")
    shown = earlier or made
    return created_run(
        request, shown.plan, run_id=shown.run_id, segment_ids=shown.segment_ids, providers=rules.providers
    )


async def _earlier(connection: Connection, user_id: UUID, key: str, body: bytes, run_id: UUID) -> _Made | None:
    """Take the key for the new run, or find the run it stands for."""
    if await storage.claim_key(connection, user_id, key, body, run_id):
        return None
    claimed = await storage.find_claimed(connection, user_id, key)
    if not hmac.compare_digest(claimed.body_sha256, body):
        raise Problem(422, "idempotency_key_reused", "This Idempotency-Key was used with another body")
    if claimed.plan is None:
        raise Problem(404, "not_found", "The run that this Idempotency-Key started was erased")
    return _Made(claimed.run_id, claimed.segment_ids, claimed.plan)


async def _write(connection: Connection, request: RunRequest, user: Identity, track: Track, made: _Made) -> None:
    """Everything a run consists of before anything is asked for.

    The run's row is ours alone until the commit, which is the lock that `announce` needs.
    """
    plan = made.plan
    texts = template_texts(plan, request.locale)
    await storage.touch_user(connection, user.user_id, user.tenant)
    await storage.insert_run(
        connection,
        storage.NewRun(
            id=made.run_id,
            user_id=user.user_id,
            tenant=user.tenant,
            emotion_state=request.emotion_state,
            suds_start=request.suds,
            strategy=request.strategy,
            track=track,
            plan=plan,
            texts=texts,
            narration=request.narration,
        ),
    )
    narrated = request.narration
    segments = [stored_segment(plan, each.index, texts, narrated=narrated) for each in plan.segments]
    await storage.insert_segments(connection, made.run_id, made.segment_ids, segments)
    created = RunCreated(
        run_id=made.run_id,
        preset_key=plan.preset_key,
        strategy=request.strategy,
        segments_count=len(plan.segments),
    )
    await announce(connection, created)
