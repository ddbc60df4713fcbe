"""Claims about ports: what one process was given no other is given while it lives, whether or not it listens yet."""

import os
import subprocess
import sys

import pytest

from stack.embedded import ports

CHOOSE = """
from stack.embedded import ports
ports.FIRST, ports.LAST = {port}, {port} + 1
print(ports.free_port(), flush=True)
input()
"""


def test_a_port_that_another_process_was_given_is_not_given_again_before_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = _unmarked()
    command = [sys.executable, "-c", CHOOSE.format(port=port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == f"{port}\n"
        monkeypatch.setattr(ports, "FIRST", port)
        monkeypatch.setattr(ports, "LAST", port + 1)
        with pytest.raises(OSError, match="no free port"):
            ports.free_port()
        other.communicate("\n")
    assert ports.free_port() == port


def _unmarked() -> int:
    """A free port without our own mark."""
    port = ports.free_port()
    os.close(ports._taken.pop(port))
    return port
