"""The one way to subscribe: a message ends in an acknowledged effect, retry row or dead letter, or is read again."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from pydantic import ValidationError

from libs.common.database import UNAVAILABLE, Channel, Connection, Database
from libs.common.deliveries import (
    BACKOFF_SECONDS,
    MAX_DELIVERIES,
    Delivery,
    bury,
    claim_retry,
    forget_retry,
    postpone,
    remember,
)
from libs.common.errors import Reject, Retry, SlowDown
from libs.common.events import BY_TOPIC, Event
from libs.common.fault_points import reach
from libs.common.outbox import adopt_traceparent
from libs.common.topics import Topic

Handler = Callable[[Connection, Any], Awaitable[None]]
"""A use case: reads and writes in the connection's transaction, which also holds the inbox row. Database work only:
nothing slow (5 s are the bound), no HTTP, no Kafka. It may raise `Retry`, `Reject` or `SlowDown`."""

HANDLER_SECONDS: Final = 5.0  # heartbeats share the event loop; 300 s idle would livelock the group
SESSION_MS: Final = 6_000  # how long a killed member's partitions stay idle
HEARTBEAT_MS: Final = 2_000
SLOW_DOWN_SECONDS: Final = 1.0
RECONNECT_SECONDS: Final = 1.0
RETRY_LEASE_SECONDS: Final = 30.0

_log = structlog.get_logger()
_framework_log = logging.getLogger("faststream.broker")
_framework_log.setLevel(logging.WARNING)  # it logs two lines a message otherwise


@dataclass
class Consumers:
    """A service's subscriptions: one consumer group of the service's name, one handler a topic."""

    database: Database
    bootstrap: str
    service: str
    prefix: str = ""
    wakes: tuple[Channel, ...] = (Channel.OUTBOX,)
    time_scale: float = 1.0
    handlers: dict[Topic, Handler] = field(default_factory=dict)
    woken: dict[Topic, tuple[Channel, ...]] = field(default_factory=dict)

    @property
    def group_id(self) -> str:
        return self.prefix + self.service

    def on(self, event: type[Event], handler: Handler, *, wakes: tuple[Channel, ...] | None = None) -> None:
        """Handle each message of the event's topic with `handler`, in one transaction with its inbox row.

        `wakes`: whom its commit may wake, where that is not whom the others wake.
        """
        self.handlers[event.topic] = handler
        self.woken[event.topic] = self.wakes if wakes is None else wakes

    async def run(self) -> None:
        """Consume until cancelled; a broker that is away at the start is tried again every second."""
        while True:
            broker = self._broker()
            try:
                await broker.start()
                await asyncio.Event().wait()
            except Exception as error:  # noqa: BLE001 - whatever it is: that a service hears no more would not show
                _log.warning("broker_unreachable", error_class=type(error).__name__)
            finally:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(broker.stop(), HANDLER_SECONDS + 5)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def retry_one(self) -> bool:
        """Deliver one message again whose time has come; the round of a loop."""
        async with self.database.connection() as connection:
            delivery = await claim_retry(connection, self.group_id, RETRY_LEASE_SECONDS)
        if delivery is None:
            return False
        with contextlib.suppress(SlowDown):
            await self.process(delivery)
        return True

    async def process(self, delivery: Delivery) -> None:
        """Bring one delivery to its end; raises `SlowDown` when nothing could be decided."""
        deadline = asyncio.timeout(HANDLER_SECONDS)
        try:
            async with deadline:
                await self._effect(delivery)
        except SlowDown:
            raise
        except UNAVAILABLE as error:
            if deadline.expired():
                await self._later(delivery, "deadline", None)
                return
            raise SlowDown(type(error).__name__, seconds=SLOW_DOWN_SECONDS) from error
        except Reject as error:
            await self._end(delivery, error.reason)
        except Retry as error:
            await self._later(delivery, error.reason, error.after_seconds)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises must end in a row, not in a lost message
            _log.warning("handler_failed", topic=delivery.topic, error_class=type(error).__name__, exc_info=True)
            await self._later(delivery, type(error).__name__, None)

    async def _effect(self, delivery: Delivery) -> None:
        event = self._decode(delivery)
        adopt_traceparent(delivery.headers.get("traceparent"))
        async with self.database.transaction(*self.woken[event.topic]) as connection:
            if await remember(connection, delivery):
                await self.handlers[event.topic](connection, event)
            if delivery.again:
                await forget_retry(connection, delivery)
            reach("inbox_written", self.service)
        reach("inbox_committed", self.service)

    def _decode(self, delivery: Delivery) -> Event:
        try:
            topic = Topic(delivery.topic.removeprefix(self.prefix))
            _ = delivery.event_id
            return BY_TOPIC[topic].model_validate_json(delivery.payload or b"")
        except (ValidationError, ValueError, KeyError) as error:
            raise Reject("malformed_event") from error

    async def _later(self, delivery: Delivery, reason: str, after_seconds: float | None) -> None:
        if delivery.deliveries >= MAX_DELIVERIES:
            await self._end(delivery, reason)
            return
        backoff = BACKOFF_SECONDS[max(0, delivery.deliveries - 1)] * self.time_scale
        async with self._deciding() as connection:
            await postpone(connection, delivery, reason, seconds=max(backoff, after_seconds or 0.0))

    async def _end(self, delivery: Delivery, reason: str) -> None:
        _log.error("dead_letter", topic=delivery.topic, error_code=reason, deliveries=delivery.deliveries)
        async with self._deciding() as connection:
            await bury(connection, delivery, reason)

    @contextlib.asynccontextmanager
    async def _deciding(self) -> AsyncIterator[Connection]:
        try:
            async with self.database.transaction() as connection:
                yield connection
        except Exception as error:  # whatever keeps the row from being written, the message must not be passed by
            raise SlowDown(type(error).__name__, seconds=SLOW_DOWN_SECONDS) from error

    def _broker(self) -> KafkaBroker:
        broker = KafkaBroker(
            self.bootstrap,
            client_id=self.service,
            request_timeout_ms=3_000,
            allow_auto_create_topics=False,
            consumer_only=True,
            graceful_timeout=HANDLER_SECONDS + 1,
            apply_types=False,
            decoder=_undecoded,
            logger=_framework_log,
        )
        subscriber = broker.subscriber(
            *(self.prefix + topic for topic in self.handlers),
            group_id=self.group_id,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
        )
        subscriber(self._on_message)
        return broker

    async def _on_message(self, message: KafkaMessage) -> None:
        record: Any = message.raw_message
        place = TopicPartition(record.topic, record.partition)
        try:
            await self.process(_delivery(self.group_id, record))
        except SlowDown as pause:
            _log.warning("slow_down", topic=record.topic, error_class=pause.reason)
            await asyncio.sleep(pause.seconds)
            message.consumer.seek(place, record.offset)
            return
        try:
            # Explicit: a bare commit() commits every position, also of messages not yet handled.
            await message.consumer.commit({place: record.offset + 1})  # type: ignore[call-arg]
        except (CommitFailedError, KafkaError) as error:
            _log.warning("commit_failed", topic=record.topic, error_class=type(error).__name__)


async def _undecoded(message: KafkaMessage) -> KafkaMessage:
    """Hand the handler the message itself: what cannot be decoded must reach the dead letters, not an exception."""
    return message


def _delivery(group_id: str, record: ConsumerRecord[bytes, bytes]) -> Delivery:
    # PostgreSQL keeps no NUL: a header that has one must not hold up its partition for ever.
    headers: Mapping[str, str] = {
        name.replace("\0", "\ufffd"): value.decode("utf-8", "replace").replace("\0", "\ufffd")
        for name, value in record.headers
    }
    return Delivery(group_id, record.topic, record.partition, record.offset, record.key, headers, record.value)
