"""Owns the containers that TEST_CONTAINERS=1 asks for: the images of docker-compose.yml, started by testcontainers.

Unproven where no container engine runs: whoever first runs it corrects it here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

COMPOSE = Path(__file__).resolve().parents[1] / "docker-compose.yml"
S3_PORT = 7070


def wanted() -> bool:
    return os.environ.get("TEST_CONTAINERS") == "1"


def image(service: str) -> str:
    """The image that production runs, by tag and digest."""
    return str(yaml.safe_load(COMPOSE.read_text())["services"][service]["image"])


@contextmanager
def postgres() -> Iterator[str]:
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415 - asks for an engine when imported

    with PostgresContainer(image("postgres"), driver=None) as container:
        yield container.get_connection_url()


@contextmanager
def kafka(port: int) -> Iterator[str]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415
    from testcontainers.core.waiting_utils import wait_for_logs  # noqa: PLC0415

    # Once one KAFKA_ variable is set the image takes none of its defaults, so all are.
    container = DockerContainer(image("kafka")).with_bind_ports(port, port)
    for name, value in {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }.items():
        container.with_env(name, value)
    with container:
        wait_for_logs(container, "Kafka Server started", timeout=60)
        yield f"127.0.0.1:{port}"


@contextmanager
def object_store(access_key: str, secret_key: str) -> Iterator[str]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415
    from testcontainers.core.waiting_utils import wait_for_logs  # noqa: PLC0415

    container = (
        DockerContainer(image("object-store"))
        .with_env("ROOT_ACCESS_KEY", access_key)
        .with_env("ROOT_SECRET_KEY", secret_key)
        .with_exposed_ports(S3_PORT)
        .with_command("posix /tmp")
    )
    with container:
        wait_for_logs(container, f":{S3_PORT}", timeout=60)
        yield f"http://{container.get_container_host_ip()}:{container.get_exposed_port(S3_PORT)}"
