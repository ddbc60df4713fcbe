"""Owns what set-up learns from one start of Kafka: its classes read and linked, and what its format tool writes.

The cache is this machine's own: Java takes it only with the very jars, flags and build that made it, and without it
the broker starts as well, at twice the cost (measured, CPU: start 3.3 -> 1.4 s).
"""

import asyncio
import tempfile
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from stack.embedded.errors import EmbeddedError
from stack.embedded.kafka import CHECKPOINT, EmbeddedKafka, kept_checkpoint, silent_client, start_cache
from stack.embedded.ports import free_port
from stack.embedded.processes import start_ready

WRITE_SECONDS = 180.0  # the broker writes the cache when it ends; ten seconds on a quiet machine
USE_SECONDS = 60.0  # two on a quiet machine
TOPIC = "rehearsal"


def make() -> Path:
    """Make what is not there; the cache. Raises EmbeddedError when the broker ended without one."""
    _keep_checkpoint()
    cache = start_cache()
    if not cache.exists():
        with tempfile.TemporaryDirectory(prefix="kafka-cache-", dir=cache.parent) as begun:
            asyncio.run(_rehearse(Path(begun), Path(begun) / cache.name))
            if not (Path(begun) / cache.name).exists():
                raise EmbeddedError("Kafka's Java made no start cache; the broker starts without one, only later")
            (Path(begun) / cache.name).rename(cache)
    return cache


def _keep_checkpoint() -> None:
    """Let Kafka's own tool format a folder, and keep what it wrote."""
    checkpoint = kept_checkpoint()
    if not checkpoint.exists():
        with tempfile.TemporaryDirectory(prefix="kafka-format-", dir=checkpoint.parent) as begun:
            server = EmbeddedKafka(Path(begun), free_port(), free_port())
            server.prepare()
            (server.logs / CHECKPOINT).rename(checkpoint)


async def _rehearse(folder: Path, cache: Path) -> None:
    """Start a broker, use it as the platform does, and end it: it writes down what that took."""
    server = EmbeddedKafka(folder / "kafka", free_port(), free_port(), java_options=(f"-XX:AOTCacheOutput={cache}",))
    running = await start_ready(server, folder / "kafka.log")
    try:
        with silent_client():  # a coordinator that is not there yet is no error
            await rehearse(server.bootstrap)
    finally:
        await asyncio.to_thread(running.stop, WRITE_SECONDS)


async def rehearse(bootstrap: str) -> None:
    """Create, send and read; raises EmbeddedError, so that a slow machine has no cache instead of no set-up."""
    try:
        async with asyncio.timeout(USE_SECONDS):
            await _use(bootstrap)
    except (KafkaError, TimeoutError) as error:
        raise EmbeddedError(f"the broker did not serve its rehearsal: {type(error).__name__}: {error}") from error


async def _use(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    await producer.send_and_wait(TOPIC, b"one")
    await producer.stop()
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=bootstrap, group_id=TOPIC, auto_offset_reset="earliest")
    await consumer.start()
    await consumer.getone()
    await consumer.commit()
    await consumer.stop()
