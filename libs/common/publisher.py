"""The Kafka producer of one process: bounded in time, rebuilt after any failure."""

import asyncio
import contextlib
from collections.abc import Mapping

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

REQUEST_MS = 3_000
PUBLISH_SECONDS = 4.0  # never trust a client to return (performance-and-reliability.md §5)
STOP_SECONDS = 5.0


class PublishFailedError(Exception):
    """The broker did not confirm the message in time; it may or may not have it."""


class Publisher:
    """Sends and waits for the broker's confirmation; idempotence is off because it hangs when the broker is gone."""

    def __init__(self, bootstrap: str, client: str) -> None:
        self._bootstrap = bootstrap
        self._client = client
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._failed_starts = 0
        self._closed = False

    async def publish(self, topic: str, *, key: bytes, value: bytes, headers: Mapping[str, str]) -> None:
        """Return when all in-sync replicas have the message.

        Raises:
            PublishFailedError: nothing confirmed it; the next call starts a new producer.
        """
        if self._closed:
            raise PublishFailedError("closed")
        pairs = [(name, text.encode()) for name, text in headers.items()]
        try:
            producer = await self._started()
            await asyncio.wait_for(producer.send_and_wait(topic, value, key=key, headers=pairs), PUBLISH_SECONDS)
        except (KafkaError, TimeoutError, OSError) as error:
            await self._stop()
            raise PublishFailedError(type(error).__name__) from error

    async def close(self) -> None:
        """Stop the producer, for at most 5 s; whoever publishes afterwards is refused."""
        self._closed = True
        await self._stop()

    async def _stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, TimeoutError, OSError):
                await asyncio.wait_for(producer.stop(), STOP_SECONDS)

    async def _started(self) -> AIOKafkaProducer:
        failed_before = self._failed_starts
        async with self._starting:
            if self._failed_starts != failed_before:
                # Whoever waited shares the failure: a hundred starts in a row would outlast leases and `/livez`.
                raise PublishFailedError("not started")
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    client_id=self._client,
                    acks="all",
                    linger_ms=0,
                    enable_idempotence=False,
                    request_timeout_ms=REQUEST_MS,
                    compression_type=None,
                )
                try:
                    await asyncio.wait_for(producer.start(), PUBLISH_SECONDS)
                except BaseException:
                    self._failed_starts += 1
                    with contextlib.suppress(KafkaError, TimeoutError, OSError):
                        await asyncio.wait_for(producer.stop(), STOP_SECONDS)
                    raise
                self._producer = producer
            return self._producer
