"""The topics, their partitions and retention, and the command that creates them."""

import asyncio
from collections.abc import Iterable
from enum import StrEnum

PARTITIONS = 12  # the unit of a consumer group's growth (performance-and-reliability.md §5)
RETENTION_MS = 7 * 24 * 3600 * 1000  # as long as the outbox, so that either can replay the other
ADMIN_TIMEOUT_SECONDS = 15.0


class Topic(StrEnum):
    """Every topic there is; the key of each message is the run's id."""

    RUN_CREATED = "run.created"
    RUN_ENRICHED = "run.enriched"
    RUN_READY = "run.ready"
    RUN_FAILED = "run.failed"
    SEGMENT_REQUESTED = "segment.requested"
    SEGMENT_STARTED = "segment.started"
    SEGMENT_FIRST = "segment.first"
    SEGMENT_PREVIEWED = "segment.previewed"
    SEGMENT_DELIVERED = "segment.delivered"
    SEGMENT_COMPLETE = "segment.complete"
    SEGMENT_FAILED = "segment.failed"


async def apply(
    bootstrap: str, prefix: str = "", *, topics: Iterable[Topic] = Topic, replication_factor: int = 1
) -> list[str]:
    """Create the topics that do not exist yet and return their names. Safe to run again and beside another run."""
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # noqa: PLC0415 - the registry is imported by everybody

    def new(name: str) -> NewTopic:
        configs = {"retention.ms": str(RETENTION_MS)}
        return NewTopic(name, PARTITIONS, replication_factor, topic_configs=configs)

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(ADMIN_TIMEOUT_SECONDS * 1000))
    await asyncio.wait_for(admin.start(), ADMIN_TIMEOUT_SECONDS)
    try:
        present = set(await admin.list_topics())
        missing = [prefix + topic for topic in topics if prefix + topic not in present]
        if missing:
            response = await admin.create_topics([new(name) for name in missing])
            _raise_unless_created(response)
        return missing
    finally:
        await admin.close()


def _raise_unless_created(response: object) -> None:
    from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code  # noqa: PLC0415 - as above

    for topic, code, *_ in response.topic_errors:  # type: ignore[attr-defined]  # the response class is made at run time
        error: type[KafkaError] = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(topic)
