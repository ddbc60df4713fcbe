"""The callback can reach nothing but its database (W6)."""

import subprocess
import sys

# aiokafka is absent: the registry of topics, which names events, loads its admin client; nothing uses it here.
FORBIDDEN = ("httpx", "httpx2", "requests", "aiohttp", "faststream", "aioboto3", "botocore", "openai")


def test_the_callback_imports_nothing_that_could_call_out() -> None:
    program = "import sys, services.callback.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert {module.partition(".")[0] for module in loaded} & set(FORBIDDEN) == set()
