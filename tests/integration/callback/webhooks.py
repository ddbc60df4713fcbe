"""The recorded webhooks of `contracts/`, sent as a provider sends them."""

from pathlib import Path
from typing import Any

import httpx

from tests.integration.callback.rows import Attempt

EXAMPLES = Path(__file__).parents[3] / "contracts" / "examples" / "webhooks"
FRESH = {"ok": True}
SKIPPED = {"ok": True, "skipped": True}


def body(name: str) -> bytes:
    return (EXAMPLES / f"{name}.json").read_bytes()


async def send(client: httpx.AsyncClient, attempt: Attempt, name: str) -> Any:
    answer = await client.post("/callback", params=attempt.query, content=body(name))
    assert answer.status_code == 200, answer.text
    return answer.json()
