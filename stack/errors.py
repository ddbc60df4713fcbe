"""What the `parcours` command tells a person when it cannot go on."""

import socket

import asyncpg
from aiokafka.errors import KafkaError

UNREACHABLE = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    KafkaError,
)
"""What a PostgreSQL or a Kafka answers that is away, is somebody else's or has no place for us."""


class StackError(Exception):
    """Its text says what was expected, what was found and what to type; the command prints it and ends with 1."""
