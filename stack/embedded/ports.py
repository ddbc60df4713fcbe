"""Owns the choice of free loopback ports."""

import secrets
import socket

# Below Linux's range of outgoing ports (32768 and up), so that no client's connection can take a port between
# its choice here and the server's bind, nor while a killed server is being restarted.
FIRST, LAST = 20_000, 32_000
TRIES = 200
_given: set[int] = set()


def free_port() -> int:
    """A port on which nothing listens now; never the same twice in one process."""
    for _ in range(TRIES):
        # `secrets`, since tests seed `random`: two sessions with one seed would walk the same ports side by side.
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no free port between {FIRST} and {LAST} on 127.0.0.1 in {TRIES} tries")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free for a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
