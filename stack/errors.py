"""What the `parcours` command tells a person when it cannot go on."""

import socket


def unreachable() -> tuple[type[Exception], ...]:
    """What a PostgreSQL or a Kafka answers that is away, is somebody else's or has no place for us."""
    # Both clients are slow to import, and most verbs meet neither server.
    import asyncpg  # noqa: PLC0415
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    return (
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


class StackError(Exception):
    """Its text says what was expected, what was found and what to type; the command prints it and ends with 1."""
