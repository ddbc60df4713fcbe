"""Owns the one call that every peer makes: a generation at the simulated provider."""

import os
import time
from typing import Any

HEADERS = {"Authorization": "Bearer benchmark"}
PATH = "/api/v1/generate"


def body(label: str) -> dict[str, Any]:
    """A valid request; the ledger shows `label` as its segment."""
    return {
        "customMode": True,
        "instrumental": True,
        "model": "V5_5",
        "callBackUrl": f"http://127.0.0.1:9/callback?segment={label}",
        "style": "instrumental ambient, no vocals",
        "title": "Benchmark",
    }


def note(label: str) -> None:
    """Write down when this call leaves, in one line that no other process can tear, where somebody wants to know."""
    if path := os.environ.get("BENCH_CALLS"):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, f"{label} {time.time():.6f}\n".encode())
        os.close(descriptor)
