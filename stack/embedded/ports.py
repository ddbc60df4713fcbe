"""Owns the choice of free loopback ports."""

import secrets
import socket

# Below Linux's range of outgoing ports (32768 and up), so that no client's connection can take a port between
# its choice here and the server's bind, nor while a killed server is being restarted.
FIRST, LAST = 20_000, 32_000
TRIES = 200
_taken: dict[int, int] = {}  # the descriptor of its mark


def free_port() -> int:
    """A port on which nothing listens now; no two processes of ours get the same one while the first of them lives."""
    for _ in range(TRIES):
        # `secrets`, since tests seed `random`: two sessions with one seed would walk the same ports side by side.
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if port not in _taken and _is_free(port) and _take(port):
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


def _take(port: int) -> bool:
    """Mark the port as ours by a name in Linux's abstract namespace, which goes when this process does.

    A server binds its port a second after it was chosen, and is away for a while when it is started again: without a
    mark another process of ours may be given the port meanwhile.
    """
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mark.bind(f"\0parcours-port-{port}")
    except OSError:
        mark.close()
        return False
    _taken[port] = mark.detach()  # open for as long as we live: a socket object would warn of it at the end
    return True
