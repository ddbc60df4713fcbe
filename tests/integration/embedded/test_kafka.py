"""Owns the claims about the embedded Kafka: formatted once, kept, restarted, and never run from unknown jars."""

import base64
import shutil
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack.embedded import kafka_jars
from stack.embedded.errors import EmbeddedError
from stack.embedded.kafka import CHECKPOINT, EmbeddedKafka, _new_id, kept_checkpoint, silent_client, start_cache
from stack.embedded.kafka_cache import rehearse
from stack.embedded.ports import free_port
from tests.integration.embedded.conftest import Start

TOPIC = "kept"


def kafka(folder: Path) -> EmbeddedKafka:
    return EmbeddedKafka(folder, free_port(), free_port())


def properties(server: EmbeddedKafka) -> dict[str, str]:
    lines = (server.logs / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def cluster_id(server: EmbeddedKafka) -> str:
    return properties(server)["cluster.id"]


async def write(server: EmbeddedKafka, message: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=server.bootstrap, acks="all")
    await producer.start()
    await producer.send_and_wait(TOPIC, message)
    await producer.stop()


async def read(server: EmbeddedKafka) -> bytes:
    consumer = AIOKafkaConsumer(bootstrap_servers=server.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(TOPIC, 0)])
        message = await consumer.getone()
        return bytes(message.value)
    finally:
        await consumer.stop()


async def test_it_is_formatted_once_and_keeps_its_messages_over_a_restart_and_kill_9(
    folder: Path, start: Start
) -> None:
    server = kafka(folder / "kafka")
    running = await start(server)
    formatted = cluster_id(server)
    await write(server, b"still here")
    running.stop()
    running = await start(server)
    assert await read(server) == b"still here"
    running.kill()
    await start(server)
    assert await read(server) == b"still here"
    assert cluster_id(server) == formatted


async def test_an_emptied_folder_is_formatted_anew(folder: Path, start: Start) -> None:
    server = kafka(folder / "kafka")
    running = await start(server)
    before = cluster_id(server)
    running.kill()
    shutil.rmtree(server.logs)
    server.logs.mkdir()
    await start(server)
    assert cluster_id(server) != before


async def test_data_that_no_broker_would_start_with_are_put_aside(folder: Path, start: Start) -> None:
    server = kafka(folder / "kafka")
    server.prepare()
    before = cluster_id(server)
    (server.logs / "meta.properties").unlink()  # as when somebody empties the folder while the broker starts
    (server.logs / "run.created-0").mkdir()
    await start(server)
    assert cluster_id(server) != before
    [aside] = server.folder.glob("unusable-*")
    assert (aside / "run.created-0").exists()


def test_a_format_by_copy_is_what_kafkas_own_tool_writes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept_checkpoint().exists(), "nothing was kept of a format: type `make setup`"
    copied, made = kafka(folder / "copied"), kafka(folder / "made")
    copied.prepare()
    monkeypatch.setattr("stack.embedded.kafka.kept_checkpoint", lambda: folder / "none")
    made.prepare()
    assert {path.name for path in copied.logs.iterdir()} == {path.name for path in made.logs.iterdir()}
    ours, theirs = properties(copied), properties(made)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == ["cluster.id", "directory.id"]
    assert len((copied.logs / CHECKPOINT).read_bytes()) == len((made.logs / CHECKPOINT).read_bytes())


def test_no_cluster_id_reads_as_an_option() -> None:
    ids = {_new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(base64.urlsafe_b64decode(found + "==")) == 16 and found[0] != "-" for found in ids)


async def test_two_at_once_do_not_meet(folder: Path, start: Start) -> None:
    one, other = kafka(folder / "one"), kafka(folder / "other")
    await start(one)
    await start(other)
    await write(one, b"for one")
    admin = AIOKafkaAdminClient(bootstrap_servers=other.bootstrap)
    await admin.start()
    assert TOPIC not in await admin.list_topics()
    await admin.close()
    assert cluster_id(one) != cluster_id(other)


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    return Path(shutil.copytree(kafka_jars.jars_folder(), tmp_path / "jars"))


def test_a_tampered_jar_is_refused_before_java_starts(tmp_path: Path, jars: Path) -> None:
    victim = next(jars.glob("kafka-clients-*.jar"))
    with victim.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(EmbeddedError, match=rf"{victim.name} has sha256 .* will not be run.*make setup"):
        EmbeddedKafka(tmp_path / "kafka", free_port(), free_port(), jars=jars).argv()


def test_a_missing_jar_names_the_command_that_brings_it(tmp_path: Path, jars: Path) -> None:
    next(jars.glob("scala-library-*.jar")).unlink()
    with pytest.raises(EmbeddedError, match=r"scala-library.* is missing .*make setup"):
        EmbeddedKafka(tmp_path / "kafka", free_port(), free_port(), jars=jars).argv()


def test_a_jar_the_lock_does_not_name_is_not_on_the_class_path(jars: Path) -> None:
    (jars / "guest.jar").write_bytes(b"")
    assert "guest.jar" not in kafka_jars.checked_class_path(jars)


def test_a_broken_lock_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "kafka-jars.lock"
    lock.write_text("../../evil.jar\n")
    monkeypatch.setattr(kafka_jars, "LOCK", lock)
    with pytest.raises(EmbeddedError, match="holds a line that is not"):
        kafka_jars.locked()


def test_a_start_cache_that_does_not_fit_is_left_unused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = folder / "cache.aot"
    broken.write_bytes(b"of another Java")
    monkeypatch.setattr("stack.embedded.kafka.start_cache", lambda: broken)
    monkeypatch.setattr("stack.embedded.kafka.kept_checkpoint", lambda: folder / "none")  # so that Java formats
    server = kafka(folder / "kafka")
    assert f"-XX:AOTCache={broken}" in server.argv()
    server.prepare()
    assert (server.logs / "meta.properties").exists()


def test_a_start_cache_that_is_damaged_is_left_unused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = start_cache()
    assert made.exists(), "no start cache here to damage: `make setup` makes one"
    damaged = folder / "damaged.aot"
    shutil.copyfile(made, damaged)
    with damaged.open("r+b") as file:
        file.seek(made.stat().st_size // 2)
        file.write(b"\xa5" * 4096)
    monkeypatch.setattr("stack.embedded.kafka.start_cache", lambda: damaged)
    monkeypatch.setattr("stack.embedded.kafka.kept_checkpoint", lambda: folder / "none")  # so that Java formats
    server = kafka(folder / "kafka")
    server.prepare()
    assert cluster_id(server)


async def test_a_broker_that_does_not_serve_its_rehearsal_is_told_as_no_start_cache() -> None:
    with silent_client(), pytest.raises(EmbeddedError, match="did not serve its rehearsal"):
        await rehearse(f"127.0.0.1:{free_port()}")


def test_a_broker_without_a_start_cache_is_told_of_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.embedded.kafka.start_cache", lambda: folder / "none.aot")
    assert [option for option in kafka(folder / "kafka").argv() if "AOT" in option] == []
