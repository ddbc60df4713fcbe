"""The sweep that asks the provider which costs nothing, so that a listener never waits for another's trouble."""

from uuid import UUID

import structlog

from libs.common.database import Channel
from services.generator.domain.next_step import bridging
from services.generator.domain.providers import Provider
from services.generator.handlers.decision import read_segment
from services.generator.handlers.resources import Resources
from services.generator.storage import attempts, queue, segments

_log = structlog.get_logger()


async def sweep_bridges(resources: Resources) -> bool:
    """One round: rows that would come too late are re-pointed, troubled attempts get a companion."""
    bridge = bridging(resources.roster.order)
    if bridge is None:
        return False
    await _repoint(resources, bridge)
    await _accompany(resources, bridge)
    return False


async def _repoint(resources: Resources, bridge: Provider) -> None:
    clock = resources.clock
    async with resources.database.transaction() as connection:
        await queue.adopt_strays(connection, resources.roster.names, bridge.name)
        moved = await queue.bridge(
            connection,
            bridge.name,
            resources.roster.account_names,
            expected_playable=clock.expected_playable,
            within=clock.bridge_within,
            long_backoff=clock.bridge_backoff,
            troubled=clock.troubled,
        )
    if moved:
        resources.database.wake(Channel.QUEUE)
        _log.warning("bridged", provider=bridge.name, rows=len(moved))


async def _accompany(resources: Resources, bridge: Provider) -> None:
    clock = resources.clock
    late = {
        provider.name: (provider.first_seconds + clock.late, provider.complete_seconds + clock.late)
        for provider in resources.roster.known.values()
        if provider.name != bridge.name
    }
    async with resources.database.connection() as connection:
        rows = await attempts.to_bridge(
            connection,
            late,
            bridge.name,
            expected_playable=clock.expected_playable,
            within=clock.bridge_within,
            troubled=clock.troubled,
            stored=clock.stored,
            stored_heard=clock.stored_heard,
        )
    for row in rows:
        await _enqueue(resources, row["run_id"], row["segment_id"], bridge)


async def _enqueue(resources: Resources, run_id: UUID, segment_id: UUID, bridge: Provider) -> None:
    async with resources.database.transaction(Channel.QUEUE) as connection:
        if not await segments.lock(connection, run_id, segment_id):
            return
        segment = await read_segment(connection, resources, segment_id)
        if segment is None or segment.is_over or segment.is_queued or bridge.name in segment.live_providers:
            return
        tries = segment.tries.get(bridge.name, 0)
        delay = resources.clock.backoff[min(tries, len(resources.clock.backoff)) - 1] if tries else 0.0
        await queue.enqueue(connection, segment_id, bridge.name, delay_seconds=delay, bridge=True)
    _log.warning("bridged", provider=bridge.name, rows=1)
